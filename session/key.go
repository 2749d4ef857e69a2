package session

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/golang-jwt/jwt/v5"
)

// Least strength of keys.
const (
	minSecretBytes = 32
	minRSABits     = 2048
)

// verifyKey is a key that tokens may be signed with. The algorithm belongs to the key: what a
// token's header says never chooses how a key is used.
type verifyKey struct {
	alg string
	key any
}

// algorithmOf returns the one algorithm that a public key is used with.
func algorithmOf(public any) (string, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return "", fmt.Errorf("an RSA key of %d bits is too weak, %d are the least", k.N.BitLen(), minRSABits)
		}
		return jwt.SigningMethodRS256.Alg(), nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", fmt.Errorf("an EC key must be on P-256, this one is on %s", k.Curve.Params().Name)
		}
		return jwt.SigningMethodES256.Alg(), nil
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA.Alg(), nil
	}
	return "", fmt.Errorf("a key of type %T signs no tokens here", public)
}

// loadVerifyKey reads an HMAC secret or a PEM file with a public key or certificate.
func loadVerifyKey(file string) (verifyKey, error) {
	secret, block, err := readKeyFile(file)
	if err != nil {
		return verifyKey{}, err
	}
	if block == nil {
		return verifyKey{alg: jwt.SigningMethodHS256.Alg(), key: secret}, nil
	}
	public, err := parsePublic(block)
	if err != nil {
		return verifyKey{}, fmt.Errorf("key file %s: %w", file, err)
	}
	alg, err := algorithmOf(public)
	if err != nil {
		return verifyKey{}, fmt.Errorf("key file %s: %w", file, err)
	}
	return verifyKey{alg: alg, key: public}, nil
}

// readKeyFile returns the secret or the first PEM block of a file. What looks like PEM is never
// taken for a secret: a published public key would then sign tokens.
func readKeyFile(file string) (secret []byte, block *pem.Block, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("key file: %w", err)
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		if block, _ = pem.Decode(data); block == nil {
			return nil, nil, fmt.Errorf("key file %s: broken PEM", file)
		}
		return nil, block, nil
	}
	secret = bytes.TrimRight(data, "\r\n")
	if len(secret) < minSecretBytes {
		return nil, nil, fmt.Errorf("key file %s: a secret of %d bytes is too short, %d are the least", file, len(secret), minSecretBytes)
	}
	return secret, nil, nil
}

func parsePublic(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("this is a private key; servers verify with the public one")
	}
	return nil, fmt.Errorf("a PEM block of type %q is no public key", block.Type)
}

// SigningKey signs tokens.
type SigningKey struct {
	method jwt.SigningMethod
	key    any
}

// SecretKey returns the key that signs with an HMAC secret of at least 32 bytes.
func SecretKey(secret []byte) (SigningKey, error) {
	if len(secret) < minSecretBytes {
		return SigningKey{}, fmt.Errorf("a secret of %d bytes is too short, %d are the least", len(secret), minSecretBytes)
	}
	return SigningKey{method: jwt.SigningMethodHS256, key: bytes.Clone(secret)}, nil
}

// LoadSigningKey reads an HMAC secret or a PEM file with an RSA, P-256 or Ed25519 private key.
func LoadSigningKey(file string) (SigningKey, error) {
	secret, block, err := readKeyFile(file)
	if err != nil {
		return SigningKey{}, err
	}
	if block == nil {
		return SecretKey(secret)
	}
	private, err := parsePrivate(block)
	if err != nil {
		return SigningKey{}, fmt.Errorf("key file %s: %w", file, err)
	}
	alg, err := algorithmOf(private.Public())
	if err != nil {
		return SigningKey{}, fmt.Errorf("key file %s: %w", file, err)
	}
	return SigningKey{method: jwt.GetSigningMethod(alg), key: private}, nil
}

func parsePrivate(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block of type %q is no private key", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T signs no tokens here", key)
	}
	return signer, nil
}
