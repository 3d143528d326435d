package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// contentTypes is fixed: what the machine's own tables say would change with
// the machine.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".ico":   "image/x-icon",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".map":   "application/json",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// pagePolicy lets the page load from this server only. Editors set inline
// styles; nothing else is inline.
const pagePolicy = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; " +
	"style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is the start page, held in memory.
type page struct {
	assets map[string]asset // by path in the URL
}

type asset struct {
	content     []byte
	contentType string
	etag        string
}

// newPage reads all files of root. A nil root is an empty page.
func newPage(root fs.FS) (*page, error) {
	p := &page{assets: make(map[string]asset)}
	if root == nil {
		return p, nil
	}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		a := asset{
			content:     content,
			contentType: contentTypes[strings.ToLower(path.Ext(name))],
			etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
		if a.contentType == "" {
			a.contentType = "application/octet-stream"
		}
		p.assets["/"+name] = a
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, ok := p.assets["/index.html"]
	if !ok {
		return nil, errors.New("index.html is missing")
	}
	p.assets["/"] = index
	return p, nil
}

// serve answers a request for a file of the page, and reports whether it was
// one.
func (p *page) serve(w http.ResponseWriter, r *http.Request) bool {
	a, ok := p.assets[r.URL.Path]
	if !ok {
		return false
	}
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return true
	}
	h.Set("Content-Type", a.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	// A browser asks each time whether its copy is current, so that a new
	// binary is never seen with an old page.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	return true
}
