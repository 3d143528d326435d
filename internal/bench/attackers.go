package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ysync/internal/lib0"
	"ysync/syncproto"
)

// attacker is one hostile client. It does as much harm as its kind can, and
// when the server closes its connection it comes back at once.
type attacker struct {
	addr, document string
	rng            *rand.Rand
	done           *atomic.Int64 // what it did, for the report
}

// pace is how far apart the acts of one attacker are: hundreds of them do tens
// of thousands of acts a second.
const pace = 10 * time.Millisecond

// kinds are the ways to attack, by name, in turn. own: on a document that no
// honest client is in.
var kinds = []struct {
	name string
	own  bool
	run  func(*attacker, context.Context)
}{
	{"malformed", false, (*attacker).malformed},
	{"flood", true, (*attacker).flood},
	{"large", true, (*attacker).large},
	{"slow-reader", false, (*attacker).slowReader},
	{"slow-headers", false, (*attacker).slowHeaders},
	{"reconnect", false, (*attacker).reconnect},
	{"awareness", false, (*attacker).awareness},
	{"squatting", false, (*attacker).squatting},
	{"forks", false, (*attacker).forks},
	{"sync", false, (*attacker).amplify},
	{"pending", true, (*attacker).pending},
}

// attack runs n attackers against the server at addr until ctx ends, on the
// first `shared` documents of a prefix, and says what each kind did.
func attack(ctx context.Context, addr, prefix string, shared, n int) map[string]int64 {
	did := make([]atomic.Int64, len(kinds))
	var group sync.WaitGroup
	for i := range n {
		k := i % len(kinds)
		kind := kinds[k]
		a := &attacker{addr: addr, document: fmt.Sprintf("%s-%d", prefix, i%shared), rng: rand.New(rand.NewPCG(uint64(i), 7)), done: &did[k]}
		if kind.own {
			a.document = fmt.Sprintf("%s-own-%d", prefix, i%20)
		}
		group.Go(func() {
			// Not all at the same moment.
			wait(ctx, time.Duration(i)*5*time.Millisecond)
			for ctx.Err() == nil {
				kind.run(a, ctx)
				wait(ctx, pace)
			}
		})
	}
	group.Wait()
	out := map[string]int64{}
	for i := range kinds {
		out[kinds[i].name] = did[i].Load()
	}
	return out
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// open connects, and drops what the server says if it is read at all.
func (a *attacker) open(ctx context.Context, read bool) *socket {
	s, err := dial(a.addr, a.document, 512)
	if err != nil {
		wait(ctx, 20*pace)
		return nil
	}
	context.AfterFunc(ctx, s.close)
	if read {
		go func() {
			var buf []byte
			for {
				m, err := s.read(buf)
				if err != nil {
					s.close()
					return
				}
				if cap(m) < 64<<10 {
					buf = m
				}
			}
		}()
	}
	return s
}

// repeat opens a connection and acts on it until it fails.
func (a *attacker) repeat(ctx context.Context, every time.Duration, act func(*socket) error) {
	s := a.open(ctx, true)
	if s == nil {
		return
	}
	defer s.close()
	if s.write([]byte{0, 0, 1, 0}) != nil {
		return
	}
	for ctx.Err() == nil {
		if act(s) != nil {
			return
		}
		a.done.Add(1)
		wait(ctx, every)
	}
}

// bombs are messages that broke other servers: counts and lengths far beyond
// what follows, deep values, integers at the edges, unknown kinds.
var bombs = func() [][]byte {
	huge := lib0.AppendUvarint(nil, 1<<53-1)
	deep := strings.Repeat("\x75\x01", 5000)
	update := func(b ...[]byte) []byte {
		var joined []byte
		for _, part := range b {
			joined = append(joined, part...)
		}
		return syncproto.AppendUpdate(nil, joined)
	}
	return [][]byte{
		{},
		{0},
		{0, 2},
		{0, 9, 1},
		{99, 1, 2, 3},
		{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
		update(huge), update([]byte{1}, huge, []byte{7, 0, 4, 1, 1, 't', 1, 'x', 0}),
		update([]byte{1, 1, 7, 0, 4, 1, 1, 't'}, huge, []byte("x")),
		update([]byte{1, 1, 7, 0, 8, 1, 1, 'a'}, huge, []byte{119}),
		update([]byte{1, 1, 7, 0, 8, 1, 1, 'a', 1}, []byte(deep)),
		update([]byte{0, 1, 7}, huge), update([]byte{0, 1, 7, 1}, huge, huge),
		update([]byte{1, 1, 7}, huge, []byte{10, 5, 0}), update([]byte{1, 1, 7, 0, 0}, huge, []byte{0}),
		update([]byte{1, 1, 7, 0, 0x47, 1, 0, 9, 0}), update([]byte{1, 1, 7, 0, 0xff, 7, 0, 7, 0, 0}),
		syncproto.AppendSyncStep1(nil, huge), syncproto.AppendSyncStep1(nil, append([]byte{3}, huge...)),
		syncproto.AppendAwareness(nil, huge), syncproto.AppendAwareness(nil, append([]byte{1, 9, 1}, huge...)),
		syncproto.AppendAwareness(nil, append([]byte{1, 9, 1}, lib0.AppendString(nil, strings.Repeat("[", 20_000))...)),
		syncproto.AppendAwareness(nil, append(append([]byte{1, 9}, huge...), lib0.AppendString(nil, "{}")...)),
	}
}()

// malformed sends bombs, and real updates with bits changed.
func (a *attacker) malformed(ctx context.Context) {
	valid := syncproto.AppendUpdate(nil, typed(a.rng.Uint64N(1<<31), 0, "what was valid"))
	a.repeat(ctx, pace, func(s *socket) error {
		if a.rng.IntN(2) == 0 {
			return s.write(bombs[a.rng.IntN(len(bombs))])
		}
		bad := append([]byte(nil), valid...)
		for range 1 + a.rng.IntN(4) {
			bad[a.rng.IntN(len(bad))] ^= byte(1 << a.rng.IntN(8))
		}
		return s.write(bad[:1+a.rng.IntN(len(bad))])
	})
}

// typed is an update of a client that has written `clock` units before.
func typed(client, clock uint64, text string) []byte {
	b := append(lib0.AppendUvarint([]byte{1, 1}, client), lib0.AppendUvarint(nil, clock)...)
	if clock == 0 {
		b = append(b, 4, 1, 1, 't')
	} else {
		b = lib0.AppendUvarint(lib0.AppendUvarint(append(b, 0x84), client), clock-1)
	}
	return append(lib0.AppendString(b, text), 0)
}

// flood sends many small edits at once, again and again.
func (a *attacker) flood(ctx context.Context) {
	client, clock := a.rng.Uint64N(1<<31), uint64(0)
	var burst []byte
	a.repeat(ctx, pace, func(s *socket) error {
		burst = burst[:0]
		for range 100 {
			burst = appendMasked(burst, syncproto.AppendUpdate(nil, typed(client, clock, "x")))
			clock++
		}
		_, err := s.conn.Write(burst)
		return err
	})
}

// appendMasked appends a frame of a client, masked with zeros.
func appendMasked(dst, payload []byte) []byte {
	dst = append(dst, 0x80|opBinary, 0x80|126)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	return append(append(dst, 0, 0, 0, 0), payload...)
}

// large sends messages of megabytes: one whole, one that never ends.
func (a *attacker) large(ctx context.Context) {
	text := strings.Repeat("large ", 1<<20/6)
	client := a.rng.Uint64N(1 << 31)
	a.repeat(ctx, 100*pace, func(s *socket) error {
		if a.rng.IntN(3) > 0 {
			return s.write(syncproto.AppendUpdate(nil, typed(client, 0, text)))
		}
		head := binary.BigEndian.AppendUint64([]byte{0x80 | opBinary, 0x80 | 127}, 31<<20)
		if _, err := s.conn.Write(append(head, 0, 0, 0, 0)); err != nil {
			return err
		}
		for range 50 {
			if _, err := s.conn.Write(make([]byte, 8<<10)); err != nil {
				return err
			}
			wait(ctx, 20*pace)
		}
		return io.ErrUnexpectedEOF
	})
}

// slowReader asks for everything and reads nothing.
func (a *attacker) slowReader(ctx context.Context) {
	s := a.open(ctx, false)
	if s == nil {
		return
	}
	defer s.close()
	for ctx.Err() == nil {
		s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		if s.write([]byte{0, 0, 1, 0}) != nil || s.write([]byte{3}) != nil {
			wait(ctx, 20*time.Second)
			return
		}
		a.done.Add(1)
		wait(ctx, 10*pace)
	}
}

// slowHeaders sends a request a byte at a time.
func (a *attacker) slowHeaders(ctx context.Context) {
	conn, err := net.DialTimeout("tcp", a.addr, time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	request := "GET /" + a.document + " HTTP/1.1\r\nHost: " + a.addr + "\r\nX-Slow: "
	for i := 0; ctx.Err() == nil; i++ {
		next := "x"
		if i < len(request) {
			next = request[i : i+1]
		}
		if _, err := io.WriteString(conn, next); err != nil {
			return
		}
		a.done.Add(1)
		wait(ctx, 50*pace)
	}
}

// reconnect connects, asks for the document and is gone, with a reset.
func (a *attacker) reconnect(ctx context.Context) {
	s := a.open(ctx, false)
	if s == nil {
		return
	}
	s.write([]byte{0, 0, 1, 0})
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	s.close()
	a.done.Add(1)
}

// awareness shows ever new states of as many clients as it likes, as large as
// they may be.
func (a *attacker) awareness(ctx context.Context) {
	clock := uint64(1)
	first := a.rng.Uint64N(1 << 31)
	pad := strings.Repeat("p", 8<<10)
	a.repeat(ctx, pace, func(s *socket) error {
		clock++
		update := lib0.AppendUvarint(nil, 20)
		for i := range 20 {
			state := fmt.Sprintf(`{"n":%d}`, clock)
			if i == 0 && clock%10 == 0 {
				state = `{"pad":"` + pad + `"}`
			}
			update = lib0.AppendString(lib0.AppendUvarint(lib0.AppendUvarint(update, first+uint64(i)), clock), state)
		}
		return s.write(syncproto.AppendAwareness(nil, update))
	})
}

// squatting claims clocks that nobody has reached, and the presence of others.
func (a *attacker) squatting(ctx context.Context) {
	a.repeat(ctx, pace, func(s *socket) error {
		victim := a.rng.Uint64N(1 << 31)
		switch a.rng.IntN(3) {
		case 0: // a run that was deleted, of any length
			gone := lib0.AppendUvarint(append(lib0.AppendUvarint([]byte{1, 1}, victim), 0, 0), 1<<40+a.rng.Uint64N(1<<40))
			return s.write(syncproto.AppendUpdate(nil, append(gone, 0)))
		case 1: // far ahead
			return s.write(syncproto.AppendUpdate(nil, typed(victim, 1<<30, "x")))
		default: // a presence that cannot be outdone
			update := lib0.AppendUvarint(lib0.AppendUvarint([]byte{1}, 1+a.rng.Uint64N(1000)), 1<<52)
			return s.write(syncproto.AppendAwareness(nil, lib0.AppendString(update, "null")))
		}
	})
}

// forks sends other content under the same client ID and clock, together with
// all others of its kind.
func (a *attacker) forks(ctx context.Context) {
	clock := uint64(0)
	a.repeat(ctx, pace, func(s *socket) error {
		clock++
		return s.write(syncproto.AppendUpdate(nil, typed(4711, clock-1, string(rune('a'+a.rng.IntN(26))))))
	})
}

// amplify asks for the whole document as often as it can.
func (a *attacker) amplify(ctx context.Context) {
	a.repeat(ctx, pace, func(s *socket) error { return s.write([]byte{0, 0, 1, 0}) })
}

// pending sends updates of which something is missing, each another.
func (a *attacker) pending(ctx context.Context) {
	a.repeat(ctx, pace, func(s *socket) error {
		return s.write(syncproto.AppendUpdate(nil, typed(a.rng.Uint64N(1<<31), 5+a.rng.Uint64N(1000), "gap")))
	})
}

// attackerMain is what the program does as the attackers, in a process of its
// own that is started so that it gives way to the honest clients: addr, prefix, shared, n. They begin
// with the first line of its standard input and end with it, and it prints what
// they did.
func attackerMain(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("want address, prefix, shared documents and attackers, not %q", args)
	}
	shared, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return fmt.Errorf("ended before it began: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	did := attack(ctx, args[0], args[1], shared, n)
	for _, k := range kinds {
		fmt.Printf("%s %d\n", k.name, did[k.name])
	}
	return nil
}
