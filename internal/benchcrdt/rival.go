package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// rival is one of the rivals in a Node process of its own, driver.mjs.
type rival struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// versions of the rivals, as the lock file of this folder pins them.
var versions = map[string]string{"yjs": "13.6.33", "ywasm": "0.18.3", "loro": "1.17.1"}

// startRival starts a rival; dir is the folder with driver.mjs and node_modules.
func startRival(dir, data, name string) (*rival, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "--expose-gc", "driver.mjs", name, data)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &rival{name, cmd, in, bufio.NewReader(out)}, cmd.Start()
}

// request asks for a row, or, with Hold, for the memory of that many documents.
type request struct {
	Row     string `json:"row,omitempty"`
	Budget  int64  `json:"budget"` // milliseconds
	Samples int    `json:"samples"`
	Hold    string `json:"hold,omitempty"`
}

func (r *rival) ask(q request) (sample, error) {
	var s sample
	line, err := json.Marshal(q)
	if err != nil {
		return s, err
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		return s, fmt.Errorf("%s: %w", r.name, err)
	}
	answer, err := r.out.ReadBytes('\n')
	if err != nil {
		return s, fmt.Errorf("%s, row %s: %w", r.name, q.Row, err)
	}
	return s, json.Unmarshal(answer, &s)
}

func (r *rival) stop() {
	r.in.Close()
	_ = r.cmd.Wait() // its input ended; how it ends does not matter
}
