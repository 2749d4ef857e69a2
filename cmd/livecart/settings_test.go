package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"livecart/session/bus"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign("ca", template, template, nil)
	return a
}

// sign writes NAME.pem and NAME.key and returns the certificate and its key.
func (a *authority) sign(name string, template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.path(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

// leaf writes the certificate of a server on loopback or of a client.
func (a *authority) leaf(name string, serial int64) {
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
}

// TestNATSWithTLSAndPassword connects to a server that asks for a client certificate and a password.
func TestNATSWithTLSAndPassword(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.leaf("server", 2)
	ours.leaf("client", 3)
	pair, err := tls.LoadX509KeyPair(ours.path("server.pem"), ours.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AddCert(ours.cert)
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Username: "shop", Password: "hunter2", TLSTimeout: 5,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	address := srv.Addr().String()
	tests := []struct {
		name     string
		settings settings
		ok       bool
	}{
		{"everything right", settings{NATSURL: "tls://shop:hunter2@" + address, NATSCA: ours.path("ca.pem"), NATSCert: ours.path("client.pem"), NATSKey: ours.path("client.key")}, true},
		{"wrong password", settings{NATSURL: "tls://shop:guess@" + address, NATSCA: ours.path("ca.pem"), NATSCert: ours.path("client.pem"), NATSKey: ours.path("client.key")}, false},
		{"no certificate", settings{NATSURL: "tls://shop:hunter2@" + address, NATSCA: ours.path("ca.pem")}, false},
		{"another authority", settings{NATSURL: "tls://shop:hunter2@" + address, NATSCA: theirs.path("ca.pem"), NATSCert: ours.path("client.pem"), NATSKey: ours.path("client.key")}, false},
		{"no authority", settings{NATSURL: "tls://shop:hunter2@" + address}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := tt.settings.natsTLS()
			if err != nil {
				t.Fatal(err)
			}
			b, err := bus.Connect(t.Context(), bus.Config{URL: tt.settings.NATSURL, TLS: cfg})
			if err == nil {
				b.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNATSTLSFilesAreChecked(t *testing.T) {
	a := newAuthority(t)
	for name, s := range map[string]settings{
		"missing authorities":   {NATSCA: a.path("absent.pem")},
		"key as authorities":    {NATSCA: a.path("ca.key")},
		"certificate, no key":   {NATSCert: a.path("ca.pem")},
		"key of another holder": {NATSCert: a.path("ca.pem"), NATSKey: newAuthority(t).path("ca.key")},
	} {
		if _, err := s.natsTLS(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if cfg, err := (&settings{}).natsTLS(); cfg != nil || err != nil {
		t.Errorf("nothing given: %v, %v", cfg, err)
	}
}
