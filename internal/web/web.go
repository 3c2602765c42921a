// Package web is the page that an orchestrator serves: its files, which are in the binary, and the headers that they are served with.
//
// The page is plain ES modules and needs nothing but the orchestrator: no framework, no other host, no inline script or style, which its
// Content-Security-Policy forbids. What it shows it gets from the API like any other client, with the session's cookie.
// What does not live here: sessions, roles and the API (package orchestrator).
//
//	assets/index.html, style.css   the frame
//	assets/main.js                 which view is shown; who is logged in
//	assets/api.js                  calls and streams of the API: Connect, as JSON
//	assets/dom.js                  making elements and changing them in place: text is only ever text
//	assets/format.js               numbers with their units
//	assets/chart.js, topology.js   pictures, as SVG
//	assets/view-*.js               one view each
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var files embed.FS

// policy is what browsers let the page do: load what is served here, and talk to it. Even a script that got in could not reach another host,
// and strings never become markup or code.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Secure adds the headers that hold for every answer, the API's too.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// file is one of the page's, ready to be served.
type file struct {
	kind, tag string
	text      []byte
}

// kinds are the media types by the names' endings.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// Handler serves the page at / and its files under /assets/. They are asked for again each time, and sent only if they have changed.
func Handler() http.Handler {
	all := make(map[string]file)
	err := fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		sum := sha256.Sum256(text)
		all["/"+name] = file{kinds[path.Ext(name)], `"` + hex.EncodeToString(sum[:12]) + `"`, text}
		return err
	})
	if err != nil {
		panic(err) // they are in the binary
	}
	all["/"] = all["/assets/index.html"]
	delete(all, "/assets/index.html")
	return Secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := all[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "want GET", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", f.tag)
		if strings.Contains(r.Header.Get("If-None-Match"), f.tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(f.text) // a browser that went away is nobody's error
	}))
}
