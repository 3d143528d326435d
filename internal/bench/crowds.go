package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// idleFigures are what idle shows of a server.
// idleFigures say what idle connections cost. clientBusy is the share of its core
// that the client program used while they connected: near 1, it is what limits
// the rate.
type idleFigures struct{ connectsPerSecond, connectsPerCPUSecond, clientBusy, bytesEach float64 }

// idle holds n connections with presence over 100 documents for a minute.
func idle(srv *server, n int) (idleFigures, error) {
	before, _ := srv.memory()
	cpu, own := srv.cpu(), ownCPU()
	run := time.Now().UnixNano()
	clients, took, err := crowd(srv.addr, n, 64, func(i int) string { return fmt.Sprintf("idle-%d-%d", run, i%100) })
	defer func() { closeCrowd(clients) }()
	if err != nil {
		return idleFigures{}, err
	}
	cpu, own = srv.cpu()-cpu, ownCPU()-own
	// Every client renews its presence every 15 s, at its own moment.
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		round := time.Now()
		for i, l := range clients {
			if err := l.announce(); err != nil {
				return idleFigures{}, fmt.Errorf("client %d: %w", i, err)
			}
			due := round.Add(15 * time.Second * time.Duration(i+1) / time.Duration(n))
			if i%50 == 0 {
				time.Sleep(time.Until(due))
			}
		}
	}
	after, _ := srv.memory()
	for i, l := range clients {
		if l.ended.Load() {
			return idleFigures{}, fmt.Errorf("client %d lost its connection", i)
		}
	}
	return idleFigures{
		connectsPerSecond:    float64(n) / took.Seconds(),
		connectsPerCPUSecond: float64(n) / cpu.Seconds(),
		clientBusy:           own.Seconds() / took.Seconds(),
		bytesEach:            float64(after-before) / float64(n),
	}, nil
}

// redial drops n clients of 20 documents at once and lets all dial again.
func redial(srv *server, n int) (time.Duration, error) {
	run := time.Now().UnixNano()
	name := func(i int) string { return fmt.Sprintf("redial-%d-%d", run, i%20) }
	for i := range 20 {
		if err := put(srv.addr, name(i), sampleDocument(uint64(i), 20_000), ackNone); err != nil {
			return 0, err
		}
	}
	clients, _, err := crowd(srv.addr, n, 64, name)
	if err != nil {
		closeCrowd(clients)
		return 0, err
	}
	closeCrowd(clients)
	clients, took, err := crowd(srv.addr, n, n, name)
	closeCrowd(clients)
	return took, err
}

// cold writes n documents of 20 KB; the caller restarts the server and reads
// them all with readAll.
func cold(addr string, n int) error {
	content := sampleDocument(7, 20_000)
	errs := make(chan error, n)
	slots := make(chan struct{}, 64)
	for i := range n {
		slots <- struct{}{}
		go func() {
			errs <- put(addr, coldName(i), content, ackWait)
			<-slots
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func coldName(i int) string { return fmt.Sprintf("cold/%d", i) }

// readAll opens every document once, 64 at a time, and gives documents per second.
func readAll(addr string, n int) (float64, error) {
	slots, errs := make(chan struct{}, 64), make(chan error, n)
	begin := time.Now()
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			l, err := dialLight(addr, coldName(i), uint64(i))
			if err == nil {
				err = l.wait(30 * time.Second)
				if got := l.bytes.Load(); err == nil && got < 15_000 {
					err = fmt.Errorf("document %d came with %d bytes only", i, got)
				}
				l.socket.close()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// join lets n clients join a document of 20 MB by 50 authors at once and gives
// the server's highest memory in bytes.
func join(srv *server, n int) (int64, time.Duration, error) {
	name := fmt.Sprintf("join-%d", time.Now().UnixNano())
	var parts [][]byte
	size := 0
	for author := range uint64(50) {
		part := sampleDocument(author, 400_000)
		size += len(part)
		parts = append(parts, part)
	}
	l, err := dialLight(srv.addr, name, 1)
	if err != nil {
		return 0, 0, err
	}
	for _, part := range parts {
		if err := l.socket.write(syncproto.AppendUpdate(nil, part)); err != nil {
			return 0, 0, err
		}
		// One at a time: what comes faster than the log commits is asked for again,
		// and this client answers no questions.
		if err := l.ack(time.Minute); err != nil {
			return 0, 0, err
		}
	}
	clients, took, err := crowd(srv.addr, n, n, func(int) string { return name })
	defer func() { closeCrowd(clients) }()
	l.socket.close()
	if err != nil {
		return 0, 0, err
	}
	for i, c := range clients {
		if got := int(c.bytes.Load()); got < size*9/10 {
			return 0, 0, fmt.Errorf("client %d has %d of %d bytes", i, got, size)
		}
	}
	_, peak := srv.memory()
	return peak, took, nil
}

type ackMode int

const (
	ackNone ackMode = iota
	ackWait
)

// put sends one update to a document; with ackWait it returns when the server
// has it on disk, else when the server has answered after it.
func put(addr, name string, update []byte, mode ackMode) error {
	l, err := dialLight(addr, name, 1)
	if err != nil {
		return err
	}
	defer l.socket.close()
	if err := l.socket.write(syncproto.AppendUpdate(nil, update)); err != nil {
		return err
	}
	if mode == ackWait {
		return l.ack(30 * time.Second)
	}
	return l.wait(30 * time.Second)
}

func (l *light) ack(d time.Duration) error {
	if err := l.socket.write(syncproto.AppendAck(nil, []byte{1})); err != nil {
		return err
	}
	select {
	case <-l.acked:
		return nil
	case <-time.After(d):
		return fmt.Errorf("not acknowledged in %v", d)
	}
}

// sampleDocument is the state of a document with about size bytes of text in
// one author's root, made in pieces at changing places.
func sampleDocument(author uint64, size int) []byte {
	doc := crdt.New(crdt.Options{ClientID: crdt.ClientID(1_000_000 + author)})
	text := doc.Text(fmt.Sprintf("text-%d", author))
	rng := rand.New(rand.NewPCG(author, 2))
	piece := strings.Repeat(letters+". ", 4)
	for text.Len() < size {
		if _, err := doc.Transact(nil, func(tx *crdt.Txn) {
			text.Insert(tx, rng.IntN(text.Len()+1), piece)
		}); err != nil {
			panic(err) // a fault of this program
		}
	}
	return doc.AppendState(nil, crdt.V1)
}
