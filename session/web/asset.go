package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var embedded embed.FS

// asset is one file of static, ready to be written.
type asset struct {
	contentType string
	etag        string
	body        []byte
	gzipped     []byte // nil where compression does not help
}

// assets are the files by their path below static, and the version they make together.
type assets struct {
	files map[string]asset
	// version changes when any file does: modules import each other by relative paths, so a page
	// takes all of them from one version or none.
	version string
}

func loadAssets() (*assets, error) {
	all := &assets{files: make(map[string]asset)}
	sum := sha256.New()
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "static/")
		digest := sha256.Sum256(body)
		fmt.Fprintf(sum, "%s %x\n", name, digest)
		a := asset{
			contentType: contentType(name),
			etag:        `"` + hex.EncodeToString(digest[:12]) + `"`,
			body:        body,
		}
		if a.gzipped, err = squeeze(body); err != nil {
			return err
		}
		all.files[name] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded files: %w", err)
	}
	all.version = "v" + hex.EncodeToString(sum.Sum(nil)[:6])
	return all, nil
}

// contentType does not ask the machine's mime tables for what we know: a module with a wrong type
// does not run.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".md", "":
		return "text/plain; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// squeeze returns the gzipped body, or nil where that would save less than a tenth.
func squeeze(body []byte) ([]byte, error) {
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zw.Write(body); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	if buf.Len() > len(body)*9/10 {
		return nil, nil
	}
	return buf.Bytes(), nil
}

// serve answers /static/{path...}, with or without a version in front.
func (all *assets) serve(w http.ResponseWriter, r *http.Request) {
	name, versioned := strings.CutPrefix(r.PathValue("path"), all.version+"/")
	if !versioned {
		name = withoutVersion(name)
	}
	a, ok := all.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	// Shops import the SDK and show product pictures on pages of their own.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if versioned {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, no-cache")
	}
	body, etag := a.body, a.etag
	if a.gzipped != nil && acceptsGzip(r) {
		// Other bytes need another strong validator.
		body, etag = a.gzipped, strings.TrimSuffix(a.etag, `"`)+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	write(w, r, etag, body)
}

// withoutVersion takes the version of another build off a path. While gateways are replaced one
// after the other, the page of one asks another for its files; it gets today's, without the promise
// that they last.
func withoutVersion(name string) string {
	first, rest, found := strings.Cut(name, "/")
	if !found || len(first) != 13 || first[0] != 'v' {
		return name
	}
	if _, err := hex.DecodeString(first[1:]); err != nil {
		return name
	}
	return rest
}

func acceptsGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(coding, "gzip") {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.000")
		}
	}
	return false
}
