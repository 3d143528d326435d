package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/awareness"
	"ysync/internal/auth"
	"ysync/internal/canary"
	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/lib0"
	"ysync/internal/metrics"
	"ysync/internal/relay"
	"ysync/persistence/memory"
	"ysync/snapshots/dir"
	"ysync/syncproto"
)

// rightsTable reads testdata/rights.txt: what to expect by message, phase, role.
func rightsTable(t *testing.T) (cell func(message, phase, role string) string, messages []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	roles := []string{"none", "silent", "read", "write", "admin"}
	cells := map[string]string{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2+len(roles) {
			t.Fatalf("%q", line)
		}
		if !slices.Contains(messages, fields[0]) {
			messages = append(messages, fields[0])
		}
		for i, role := range roles {
			cells[fields[0]+" "+fields[1]+" "+role] = fields[2+i]
		}
	}
	return func(message, phase, role string) string {
		if c, ok := cells[message+" "+phase+" "+role]; ok {
			return c
		}
		c, ok := cells[message+" * "+role]
		if !ok {
			t.Fatalf("the table has nothing on %s in phase %s by %s", message, phase, role)
		}
		return c
	}, messages
}

// trier is a client that tries one message, or several of which none may count.
type trier struct {
	*client
	role, message string
	// id is a client ID of its own, mark the text that its edit would write.
	id     byte
	mark   string
	frames [][]byte
	// asked: the answer to a SyncStep1 is on its way.
	asked bool
}

// newTrier makes what a probe sends. ids counts client IDs.
func newTrier(role, message string, id byte) *trier {
	p := &trier{role: role, message: message, id: id, mark: fmt.Sprintf("<%s-%s-%d>", role, message, id)}
	update := insert(id, 0, p.mark)
	others := func(head ...byte) {
		p.frames = append(p.frames, append(slices.Clip(head), syncproto.AppendUpdate(nil, update)[1:]...),
			append(slices.Clip(head), syncproto.AppendUpdate(nil, update)[2:]...))
	}
	switch message {
	case "SyncStep1":
		p.frames = [][]byte{syncproto.AppendSyncStep1(nil, []byte{0})}
	case "SyncStep2":
		p.frames = [][]byte{syncproto.AppendSyncStep2(nil, update)}
	case "Update":
		p.frames = [][]byte{syncproto.AppendUpdate(nil, update)}
	case "Awareness":
		p.frames = [][]byte{syncproto.AppendAwareness(nil, []byte{1, id, 1, 2, '{', '}'})}
	case "Token":
		p.frames = [][]byte{syncproto.AppendPermissionDenied(nil, "nonsense")}
	case "QueryAwareness":
		p.frames = [][]byte{{3}}
	case "Ack":
		p.frames = [][]byte{ack(7)}
	default:
		low, high, _ := strings.Cut(strings.TrimPrefix(message, "Others "), "-")
		from, _ := strconv.Atoi(low)
		to, _ := strconv.Atoi(high)
		for n := uint64(from); n <= uint64(to); n++ {
			code := lib0.AppendUvarint(nil, n)
			switch n {
			case 1, 3, 102:
			case 0:
				for inner := uint64(3); inner < 32; inner++ {
					others(lib0.AppendUvarint([]byte{0}, inner)...)
				}
			case 2:
				for inner := uint64(2); inner < 32; inner++ {
					others(lib0.AppendUvarint([]byte{2}, inner)...)
				}
			default:
				others(code...)
			}
		}
	}
	return p
}

// otherRanges are the types of Others: few at a time, as many end a connection.
func otherRanges() (out []string) {
	out = append(out, "Others 0-0", "Others 2-2", "Others 4-24")
	for from := 25; from < 256; from += 24 {
		out = append(out, fmt.Sprintf("Others %d-%d", from, min(from+23, 255)))
	}
	return out
}

// expected is what a cell asks for: of Others all, what it asks of each.
func group(message string) string {
	name, _, _ := strings.Cut(message, " ")
	return name
}

// outcome sends what the probe has to say and tells what came of it.
func (p *trier) outcome(watcher *client) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	// A connection that ends meanwhile takes no more, and its close tells why.
	for _, frame := range append(slices.Clone(p.frames), syncproto.AppendSyncStep1(nil, []byte{0}), ack(99)) {
		_ = p.ws.Write(ctx, websocket.MessageBinary, frame)
	}
	// The acknowledgement, or what stands for it, comes after all answers.
	answered, states := false, 0
	closed := 0
	for {
		_, frame, err := p.ws.Read(ctx)
		if err != nil {
			if closed = int(websocket.CloseStatus(err)); closed < 0 {
				p.t.Fatalf("%s %s: %v", p.role, p.message, err)
			}
			break
		}
		d := syncproto.NewDecoder(frame)
		m, _ := d.Next()
		if m.Kind == syncproto.KindSyncStep2 {
			states++
		}
		switch p.message {
		case "SyncStep1":
			answered = states > 1
		case "Token":
			answered = answered || m.Kind == syncproto.KindAuth
		case "QueryAwareness":
			answered = answered || m.Kind == syncproto.KindAwareness && len(m.Payload) > 1
		case "Ack":
			answered = answered || m.Kind == syncproto.KindAck && m.Payload[0] == 7
		}
		// A session whose edit was refused gets a keepalive instead, or nothing.
		if m.Kind == syncproto.KindAck && m.Payload[0] == 99 || states > 0 && p.enough(states) {
			break
		}
	}
	var out string
	if closed != 0 {
		out = strconv.Itoa(closed)
	}
	if answered {
		out += "A"
	}
	watcher.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	if state := watcher.until(syncproto.KindSyncStep2); strings.Contains(string(state.Payload), p.mark) {
		out += "D"
	}
	watcher.send([]byte{3})
	watcher.send(ack(p.id))
	for m := watcher.next(); m.Kind != syncproto.KindAck; m = watcher.next() {
		if m.Kind != syncproto.KindAwareness {
			continue
		}
		d := awareness.NewDecoder(m.Payload)
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			if e.ClientID == uint64(p.id) && !strings.Contains(out, "P") {
				out += "P"
			}
		}
	}
	if out == "" {
		return "-"
	}
	return out
}

// enough tells whether the state that the probe asked for last has come: then all
// before it was dealt with.
func (p *trier) enough(states int) bool {
	want := 1
	if p.message == "SyncStep1" {
		want++
	}
	if p.asked {
		want++
	}
	return states >= want && p.message != "Ack"
}

func TestRights(t *testing.T) {
	cell, messages := rightsTable(t)
	i := slices.Index(messages, "Others")
	messages = append(messages[:i:i], otherRanges()...)
	for _, transport := range []string{"direct", "relayed", "compressed"} {
		for _, phase := range []string{"first", "syncing", "live", "limited", "over", "draining"} {
			t.Run(transport+" "+phase, func(t *testing.T) {
				tokens, sign, rulings := withRulings(t)
				var ahead atomic.Int64
				r := start(t, func(o *Options) {
					tokens(o)
					o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
					if transport == "relayed" {
						o.Documents = elsewhereBy(t, o)
					}
					o.Compress = transport == "compressed"
				})
				try := func(o *websocket.DialOptions) (*client, *http.Response, error) {
					if transport == "compressed" {
						o.CompressionMode, o.CompressionThreshold = websocket.CompressionNoContextTakeover, 1
					}
					return r.try("/notes/a", o)
				}
				watcher := r.enter(t, "/notes/a", sign("admin", 100*time.Hour))
				watcher.send(syncproto.AppendAwareness(nil, []byte{1, 1, 1, 2, '{', '}'}))
				watcher.send(syncproto.AppendSyncStep2(nil, []byte{0, 0}))

				nobody, _, err := try(header("x"))
				if err != nil {
					t.Fatal(err)
				}
				// Who was refused is held, and not heard.
				for _, message := range messages {
					p := newTrier("none", message, 120)
					for _, frame := range p.frames {
						_ = nobody.ws.Write(context.Background(), websocket.MessageBinary, frame)
					}
				}
				var probes []*trier
				id := byte(1)
				change := 0
				for _, role := range []string{"silent", "read", "write", "admin"} {
					for _, message := range messages {
						id++
						p := newTrier(role, message, id)
						if p.client, _, err = try(header(sign(role, time.Hour))); err != nil {
							t.Fatal(err)
						}
						switch phase {
						case "first":
						case "syncing":
							p.send(syncproto.AppendSyncStep1(nil, []byte{0}))
							p.asked = true
						default:
							p.sync()
						}
						probes = append(probes, p)
						if role == "write" || role == "admin" {
							change++
						}
					}
				}
				switch phase {
				case "limited":
					rule(t, rulings, auth.Ruling{Documents: "notes/*", Scope: auth.Read})
					r.await(t, "all are limited", func() bool { return r.value("ysync_rights_changed_total", "") == float64(change+1) })
				case "over":
					ahead.Store(int64(2 * time.Hour))
				case "draining":
					r.Quiesce()
				}
				for _, p := range probes {
					if got, want := p.outcome(watcher), cell(group(p.message), phase, p.role); got != want {
						t.Errorf("%s, %s: %s comes of it, want %s", p.role, p.message, got, want)
					}
				}
				if _, code := nobody.refusedWith(); strconv.Itoa(code) != cell("Update", phase, "none") {
					t.Errorf("nobody: %d", code)
				}
				watcher.send(syncproto.AppendSyncStep1(nil, []byte{0}))
				if state := watcher.until(syncproto.KindSyncStep2); strings.Contains(string(state.Payload), "<none") {
					t.Error("who was refused has written")
				}
			})
		}
	}
}

// elsewhereBy has another node own all documents, which the server's node reaches
// by a relay.
func elsewhereBy(t *testing.T, o *Options) Documents {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	files, err := dir.Open(vfs.NewMem(), "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	owner := hubOn(t, m, memory.New(), files)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := cluster.Node{Boot: "owner", Relay: l.Addr().String(), Weight: 1}
	there, err := relay.New(relay.Options{Hub: owner, Directory: oneOwner{at, at}, Secret: []byte(canary.Secret("relay")), Logger: zap.NewNop(), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	here, err := relay.New(relay.Options{
		Hub: o.Hub, Directory: oneOwner{cluster.Node{Boot: "here", Weight: 1}, at}, Secret: []byte(canary.Secret("relay")), Logger: zap.NewNop(), Metrics: o.Metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = there.Serve(l) }()
	t.Cleanup(func() {
		here.Close()
		there.Close()
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := owner.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return seats{here}
}

type seats struct{ relay *relay.Relay }

func (s seats) Subscribe(document string, p hub.Peer, wake func()) (Subscription, error) {
	seat, err := s.relay.Subscribe(document, p, wake)
	if err != nil {
		return nil, err
	}
	return seat, nil
}

// oneOwner is a directory by which one node owns everything.
type oneOwner struct{ self, owner cluster.Node }

func (d oneOwner) Self() cluster.Node                                  { return d.self }
func (d oneOwner) Owner(context.Context, string) (cluster.Node, error) { return d.owner, nil }
func (d oneOwner) Refused(cluster.Node)                                {}
func (d oneOwner) Moved(string)                                        {}
func (d oneOwner) Members() []cluster.Node                             { return nil }
func (d oneOwner) Changed() <-chan struct{}                            { return nil }
func (d oneOwner) Close(context.Context) error                         { return nil }
