// Package editor holds the start page of the server: a collaborative rich-text
// editor, built from src with `make web` into dist and embedded, so that running
// the server needs no Node.
package editor

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Files returns the page's files, index.html among them.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // dist is embedded: it cannot be absent in a program that compiled
	}
	return files
}
