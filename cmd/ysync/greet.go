package main

import (
	"fmt"
	"io"
	"os"
)

// greet tells a person at a terminal what to do next. Programs read the log.
func greet(w io.Writer, addr, data, whoMay string) {
	file, ok := w.(*os.File)
	if !ok {
		return
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprintf(w, `
  ysync is serving the documents of %s.

    Look        http://%s          open it in two windows and type
    Connect     ws://%s/NAME       new WebsocketProvider('ws://%s', 'NAME', doc)
    Stop        Ctrl+C

  %s

`, data, addr, addr, addr, whoMay)
}
