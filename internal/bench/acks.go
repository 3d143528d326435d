package main

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"ysync/crdt"
	"ysync/internal/e2e"
	"ysync/internal/testpg"
	"ysync/syncproto"
)

// typist writes one character at a time into a document of its own and asks for
// an acknowledgement of each.
type typist struct {
	socket *socket
	doc    *crdt.Doc
	stats  *stats
	out    []byte

	mu   sync.Mutex
	sent []time.Time // of the edits that are not acknowledged, oldest first
	// acked is told of every acknowledgement.
	acked func()
}

func newTypist(addr, document string, s *stats) (*typist, error) {
	l, err := dial(addr, document, 512)
	if err != nil {
		return nil, err
	}
	t := &typist{socket: l, doc: crdt.New(crdt.Options{}), stats: s, acked: func() {}}
	if err := l.write([]byte{0, 0, 1, 0}); err != nil { // SyncStep1 of an empty document
		return nil, err
	}
	return t, nil
}

func (t *typist) read() {
	var buf []byte
	for {
		message, err := t.socket.read(buf)
		if err != nil {
			return
		}
		buf = message
		if len(message) == 0 || message[0] != 102 {
			continue
		}
		now := time.Now()
		t.mu.Lock()
		if len(t.sent) == 0 {
			t.stats.fail(fmt.Errorf("an acknowledgement of nothing"))
			t.mu.Unlock()
			return
		}
		at := t.sent[0]
		t.sent = t.sent[1:]
		t.mu.Unlock()
		t.stats.delivered(now.Sub(at))
		t.acked()
	}
}

// write makes and sends one edit that was due at a moment.
func (t *typist) write(at time.Time) error {
	text := t.doc.Text("text")
	commit, err := t.doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, text.Len(), "x") })
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.sent = append(t.sent, at)
	t.mu.Unlock()
	t.out = syncproto.AppendUpdate(t.out[:0], commit.AppendUpdate(nil, crdt.V1))
	if err := t.socket.write(t.out); err != nil {
		return err
	}
	return t.socket.write(syncproto.AppendAck(nil, []byte{1}))
}

// acknowledged measures n typists in as many documents: each with one edit under
// way (perSecond 0), or all together on a fixed schedule. A latency is from the
// moment an edit was due to its acknowledgement.
func acknowledged(srv *server, n int, perSecond float64) (sample, error) {
	s := &stats{}
	typists := make([]*typist, n)
	defer func() {
		for _, t := range typists {
			if t != nil {
				t.socket.close()
			}
		}
	}()
	run := time.Now().UnixNano()
	for i := range typists {
		t, err := newTypist(srv.addr, fmt.Sprintf("acks-%d-%d", run, i), s)
		if err != nil {
			return sample{}, err
		}
		typists[i] = t
		go t.read()
	}
	begin := time.Now().Add(100 * time.Millisecond)
	end := begin.Add(warmUp + measure)
	for i, t := range typists {
		if perSecond == 0 {
			t.acked = func() {
				if t.write(time.Now()) != nil {
					return // the sockets are closed: the measurement is over
				}
			}
			if err := t.write(time.Now()); err != nil {
				return sample{}, err
			}
			continue
		}
		every := time.Duration(float64(n) / perSecond * float64(time.Second))
		go func() {
			at := begin.Add(every * time.Duration(i) / time.Duration(n))
			for ; at.Before(end); at = at.Add(every) {
				time.Sleep(time.Until(at))
				if t.write(at) != nil {
					return
				}
			}
		}()
	}
	time.Sleep(time.Until(begin.Add(warmUp)))
	return s.window(srv, measure-100*time.Millisecond), nil
}

// acksJob measures acknowledgements with each kind of log. Server, database and
// clients share the machine.
func acksJob(b *bench, name string) error {
	database, err := startPostgres()
	if err != nil {
		return err
	}
	defer database.Remove()
	kinds := []struct {
		name string
		env  []string
		p99  float64
	}{
		{"embedded log", nil, 15},
		{"PostgreSQL", []string{"YSYNC_LOG=" + database.URL("postgres")}, 25},
	}
	for _, kind := range kinds {
		var most, p50s, p99s []float64
		for range b.runs {
			srv, err := b.sharing(kind.env)
			if err != nil {
				return err
			}
			full, err := acknowledged(srv, 1000, 0)
			if err == nil {
				var steady sample
				steady, err = acknowledged(srv, 1000, 5000)
				most, p50s, p99s = append(most, full.PerSecond), append(p50s, steady.P50), append(p99s, steady.P99)
				fmt.Printf("    %-14s %.0f acknowledged/s (p99 %.1f ms); at 5,000/s: %.0f/s, p50 %.2f ms, p99 %.2f ms, %d failures\n",
					kind.name, full.PerSecond, full.P99, steady.PerSecond, steady.P50, steady.P99, full.Failures+steady.Failures)
			}
			srv.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		b.add(row{Job: name, Figure: kind.name + ": updates acknowledged per second over 1,000 documents", Ours: most, Must: "≥ 15000", OK: median(most) >= 15_000})
		b.add(row{Job: name, Figure: kind.name + ": p50 of an acknowledgement at 5,000/s in ms", Ours: p50s, Must: "≤ 5", OK: median(p50s) <= 5})
		b.add(row{Job: name, Figure: kind.name + ": p99 of an acknowledgement at 5,000/s in ms", Ours: p99s, Must: fmt.Sprintf("≤ %g", kind.p99), OK: median(p99s) <= kind.p99})
	}
	return nil
}

// startPostgres starts a database outside of the work folder, which its user may
// not enter.
func startPostgres() (*testpg.Server, error) {
	return testpg.New("")
}

// sharing starts our server on both cores.
func (b *bench) sharing(env []string) (*server, error) {
	data := filepath.Join(b.work, fmt.Sprintf("shared-%d", time.Now().UnixNano()))
	s, err := e2e.StartUnder([]string{"taskset", "-c", serverCore + "," + clientCore}, b.bin, data, env, "--log-level", "error")
	if err != nil {
		return nil, err
	}
	return &server{name: "ysync", addr: s.Addr, pid: s.PID(), stop: s.Kill}, nil
}
