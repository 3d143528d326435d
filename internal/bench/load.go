package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ysync/internal/e2e"
)

// b4State is the state of a document that one author wrote in 259,778 edits.
const b4State = "crdt/testdata/b4.state.v1.bin"

// loadJob measures how long the first client of a document waits for it after a
// restart: upgrade, loading and the whole state.
func loadJob(b *bench, name string) error {
	state, err := os.ReadFile(b4State)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.work, "load")
	if err != nil {
		return err
	}
	away, err := startElsewhere(dir)
	if err != nil {
		return err
	}
	defer away.stop()
	for _, kind := range []struct {
		name string
		env  []string
		must float64
	}{{"folder", nil, 15}, {"PostgreSQL and bucket", away.env, 40}} {
		data := filepath.Join(dir, "data-"+kind.name[:3])
		var took []float64
		for i := range b.runs*5 + 1 {
			s, err := e2e.StartUnder([]string{"taskset", "-c", serverCore}, b.bin, data, kind.env, "--log-level", "error")
			if err != nil {
				return err
			}
			if i == 0 {
				err = put(s.Addr, "b4", state, ackWait)
			} else {
				begin := time.Now()
				err = readOnce(s.Addr, "b4", int64(len(state)))
				took = append(took, float64(time.Since(begin).Microseconds())/1000)
			}
			s.Stop()
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		b.add(row{Job: name, Figure: "ms until the document is there, from " + kind.name, Ours: took, Must: fmt.Sprintf("≤ %g", kind.must), OK: median(took) <= kind.must})
	}
	return nil
}

// readOnce opens a document and waits until all of at least size bytes came.
func readOnce(addr, document string, size int64) error {
	l, err := dialLight(addr, document, 1)
	if err != nil {
		return err
	}
	defer l.socket.close()
	if err := l.wait(30 * time.Second); err != nil {
		return err
	}
	if got := l.bytes.Load(); got < size*9/10 {
		return fmt.Errorf("%d bytes came, want about %d", got, size)
	}
	return nil
}
