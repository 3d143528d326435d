package awareness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// network is a server and stock clients in virtual time. Every connection is a
// pair of queues that deliver in order, and a browser has a channel between its
// tabs. The clients behave as y-websocket.js does: they send every awareness
// update that they make or hear of, wherever it came from.
type network struct {
	now      time.Time
	presence *Presence
	clients  []*peer
	lastKey  uint64
	conns    []*conn // in order of connecting; closed ones are dropped
	sent     int
}

// conn is one connection. The two ends may know different things about it.
type conn struct {
	key      uint64
	client   *peer
	up, down [][]byte
	dead     bool // the client gave up; the server has not noticed
}

// peer is a client: a page with its replica.
type peer struct {
	*Awareness
	net     *network
	browser int
	subject string
	conn    *conn
	tabs    bool     // hears and tells the other tabs of its browser
	channel [][]byte // from other tabs
}

func newNetwork(opts Options) *network { return &network{now: start, presence: NewPresence(opts)} }

func (n *network) open(browser int, subject string) *peer {
	p := &peer{Awareness: New(uint64(100+len(n.clients)), n.now), net: n, browser: browser, subject: subject}
	n.clients = append(n.clients, p)
	return p
}

// send is the awareness update handler of the provider.
func (p *peer) send(c Change) {
	if c.IsUpdate() {
		p.broadcast(p.update(c.Clients()...))
	}
}

func (p *peer) update(ids ...uint64) []byte {
	b, err := p.AppendUpdate(nil, ids...)
	if err != nil {
		panic(err)
	}
	return b
}

func (p *peer) broadcast(update []byte) {
	p.net.sent++
	if p.conn != nil {
		p.conn.up = append(p.conn.up, update)
	}
	p.publish(update)
}

// publish sends to the other tabs.
func (p *peer) publish(update []byte) {
	for _, tab := range p.otherTabs() {
		tab.channel = append(tab.channel, update)
	}
}

func (p *peer) otherTabs() []*peer {
	var tabs []*peer
	for _, tab := range p.net.clients {
		if tab != p && tab.browser == p.browser && tab.tabs && p.tabs {
			tabs = append(tabs, tab)
		}
	}
	return tabs
}

func (p *peer) receive(update []byte) {
	c, err := p.Apply(update, p.net.now)
	if err != nil {
		panic(err)
	}
	p.send(c)
}

// connect is the onopen handler, and the server's answer to a new session. The
// first time the tabs tell each other all they know.
func (p *peer) connect() {
	n := p.net
	if !p.tabs {
		p.tabs = true
		for _, tab := range p.otherTabs() {
			tab.publish(tab.update(slices.Collect(maps.Keys(tab.states))...))
		}
		p.publish(p.update(p.ClientID()))
	}
	n.lastKey++
	p.conn = &conn{key: n.lastKey, client: p}
	n.conns = append(n.conns, p.conn)
	if p.LocalState() != nil {
		p.conn.up = append(p.conn.up, p.update(p.ClientID()))
	}
	if n.presence.Len() > 0 {
		p.conn.down = append(p.conn.down, n.presence.AppendAll(nil, n.now))
	}
}

// drop is what a client does when its connection is gone. The server does not
// notice until it hangs up.
func (p *peer) drop() {
	p.conn.dead = true
	p.conn.down = nil
	p.conn = nil
	var others []uint64
	for id := range p.States() {
		if id != p.ClientID() {
			others = append(others, id)
		}
	}
	p.send(p.Remove(others, p.net.now))
}

// disconnect says goodbye, at the clock of the state, and drops.
func (p *peer) disconnect() {
	state := p.states[p.ClientID()]
	delete(p.states, p.ClientID())
	goodbye := p.update(p.ClientID())
	if state != nil {
		p.states[p.ClientID()] = state
	}
	p.broadcast(goodbye)
	p.tabs = false
	p.channel = nil
	p.drop()
}

// kill ends a page without a word. Only the server notices.
func (p *peer) kill() {
	p.net.clients = slices.DeleteFunc(p.net.clients, func(o *peer) bool { return o == p })
	p.conn.dead = true
	p.net.hangUp(p.conn)
}

// present says whether the server can know of the client: through its own
// connection or through that of another tab.
func (p *peer) present() bool {
	return p.LocalState() != nil && (p.conn != nil ||
		slices.ContainsFunc(p.otherTabs(), func(tab *peer) bool { return tab.conn != nil }))
}

// hangUp is the server noticing that a connection is gone.
func (n *network) hangUp(c *conn) {
	n.presence.Leave(c.key, n.now)
	n.conns = slices.DeleteFunc(n.conns, func(o *conn) bool { return o == c })
}

// relay queues an update for all sessions but one.
func (n *network) relay(update []byte, except *conn) {
	for _, c := range n.conns {
		if c != except && update != nil {
			c.down = append(c.down, update)
		}
	}
}

func (n *network) deliverUp(c *conn) {
	update := c.up[0]
	c.up = c.up[1:]
	out, err := n.presence.Apply(c.key, c.client.subject, update, n.now)
	if err != nil {
		panic(err)
	}
	n.relay(out.Relay, c)
	if out.Repair != nil {
		c.down = append(c.down, out.Repair)
	}
}

func (n *network) deliverDown(c *conn) {
	update := c.down[0]
	c.down = c.down[1:]
	if !c.dead {
		c.client.receive(update)
	}
}

func (p *peer) deliverChannel() {
	update := p.channel[0]
	p.channel = p.channel[1:]
	p.receive(update)
}

// deliverable lists what could arrive next.
func (n *network) deliverable() []func() {
	var out []func()
	for _, c := range n.conns {
		if len(c.up) > 0 {
			out = append(out, func() { n.deliverUp(c) })
		}
		if len(c.down) > 0 {
			out = append(out, func() { n.deliverDown(c) })
		}
	}
	for _, p := range n.clients {
		if len(p.channel) > 0 {
			out = append(out, p.deliverChannel)
		}
	}
	return out
}

// settle delivers everything, in an order that pick chooses.
func (n *network) settle(pick func(int) int) {
	for range 100_000 {
		d := n.deliverable()
		if len(d) == 0 {
			return
		}
		d[pick(len(d))]()
	}
	panic("the messages never end")
}

// renew is long enough for everyone to have sent their state again. One who
// comes back remembers the clocks at which it forgot the others, and sees them
// at their next word.
const renew = RenewAfter + CheckEvery

func first(int) int { return 0 }

// pass lets time go by in steps of a second, everyone doing what is due.
func (n *network) pass(d time.Duration, pick func(int) int) {
	for end := n.now.Add(d); n.now.Before(end); {
		n.now = n.now.Add(time.Second)
		if at := n.presence.NextExpiry(); !at.IsZero() && !at.After(n.now) {
			n.relay(n.presence.Expire(n.now), nil)
		}
		if int(n.now.Sub(start)/time.Second)%3 == 0 {
			for _, p := range n.clients {
				renewal, timeout := p.Check(n.now)
				p.send(renewal)
				p.send(timeout)
			}
		}
		n.settle(pick)
	}
}

// wantSeen checks that the server and every connected client show exactly the
// clients that are connected and have a state.
func (n *network) wantSeen() error {
	here := map[uint64]string{}
	for _, p := range n.clients {
		if p.present() {
			here[p.ClientID()] = string(p.LocalState())
		}
	}
	held := map[uint64]string{}
	for c := range n.presence.Clients() {
		held[c.ID] = string(c.State)
	}
	if !maps.Equal(held, here) {
		return fmt.Errorf("the server holds %v, here are %v", held, here)
	}
	for _, p := range n.clients {
		if p.conn == nil {
			continue
		}
		seen := map[uint64]string{}
		for id, s := range p.States() {
			seen[id] = string(s)
		}
		if !maps.Equal(seen, here) {
			return fmt.Errorf("client %d sees %v, here are %v", p.ClientID(), seen, here)
		}
	}
	return nil
}

func (n *network) mustBeSeen(t *testing.T) {
	t.Helper()
	if err := n.wantSeen(); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) set(t *testing.T, state string) {
	t.Helper()
	c, err := p.SetLocalState([]byte(state), p.net.now)
	if err != nil {
		t.Fatal(err)
	}
	p.send(c)
}

// two returns a network with two clients of different browsers who see each
// other.
func two(t *testing.T) (n *network, a, b *peer) {
	t.Helper()
	n = newNetwork(Options{})
	a, b = n.open(1, "ann"), n.open(2, "bob")
	a.set(t, `{"name":"ann"}`)
	b.set(t, `{"name":"bob"}`)
	a.connect()
	b.connect()
	n.settle(first)
	n.mustBeSeen(t)
	return n, a, b
}

func TestAHalfOpenSocketDoesNotMuteAReconnect(t *testing.T) {
	n, a, b := two(t)
	old := a.conn
	a.drop()
	a.connect()
	n.settle(first)
	a.set(t, `{"name":"ann","cursor":1}`)
	n.settle(first)
	n.hangUp(old)
	n.pass(renew, func(int) int {
		n.mustBeSeenBy(t, b, a.ClientID())
		return 0
	})
	n.mustBeSeen(t)
}

func TestAQuietReconnectOutlivesItsHalfOpenSocket(t *testing.T) {
	n, a, b := two(t)
	old := a.conn
	a.drop()
	a.connect()
	n.settle(first)
	n.hangUp(old)
	n.pass(DefaultGrace+time.Second, first)
	n.mustBeSeenBy(t, b, a.ClientID())
	n.pass(renew, first)
	n.mustBeSeen(t)
}

func TestAReconnectAtTheSameClockHealsAtOnce(t *testing.T) {
	for _, away := range []time.Duration{time.Second, DefaultGrace + time.Second, 12 * time.Second} {
		n, a, b := two(t)
		old := a.conn
		a.drop()
		n.hangUp(old)
		// The client's own clock stands still meanwhile: its page was frozen.
		for range int(away / time.Second) {
			n.now = n.now.Add(time.Second)
			n.relay(n.presence.Expire(n.now), nil)
			n.settle(first)
		}
		if gone := b.State(a.ClientID()) == nil; gone != (away >= DefaultGrace) {
			t.Fatalf("after %v gone is %v", away, gone)
		}
		a.connect()
		n.settle(first)
		n.mustBeSeenBy(t, b, a.ClientID())
		n.pass(renew, first)
		n.mustBeSeen(t)
	}
}

func TestAReconnectWithinTheGraceIsSeenThroughout(t *testing.T) {
	n, a, b := two(t)
	old := a.conn
	a.drop()
	n.hangUp(old)
	n.now = n.now.Add(time.Second)
	a.connect()
	for range 20 {
		n.settle(func(int) int {
			if b.State(a.ClientID()) == nil {
				t.Fatal("a gap")
			}
			return 0
		})
		n.now = n.now.Add(time.Second)
		n.relay(n.presence.Expire(n.now), nil)
	}
	n.pass(renew, first)
	n.mustBeSeen(t)
}

func TestTwoTabsForwardingEachOthersStates(t *testing.T) {
	// Whichever of the two connections is faster, closing one tab takes away
	// exactly that tab.
	for _, slow := range []string{"none", "first", "second"} {
		n := newNetwork(Options{})
		a1, a2, b := n.open(1, "ann"), n.open(1, "ann"), n.open(2, "bob")
		for _, p := range []*peer{a1, a2, b} {
			p.connect()
		}
		lag := map[string]*conn{"first": a1.conn, "second": a2.conn}[slow]
		settle := func() {
			if lag == nil {
				n.settle(first)
				return
			}
			held := lag.up
			for {
				lag.up = nil
				d := n.deliverable()
				if len(d) == 0 {
					break
				}
				d[0]()
				held = append(held, lag.up...)
			}
			lag.up = held
			n.settle(first)
		}
		a1.set(t, `{"tab":1}`)
		a2.set(t, `{"tab":2}`)
		b.set(t, `{"tab":0}`)
		settle()
		n.mustBeSeen(t)

		a2.kill()
		n.pass(DefaultGrace+2*time.Second, first)
		if b.State(a1.ClientID()) == nil || a1.State(b.ClientID()) == nil {
			t.Fatalf("slow %s: the tab that stayed is gone", slow)
		}
		n.pass(OutdatedAfter+RenewAfter, first)
		if err := n.wantSeen(); err != nil {
			t.Fatalf("slow %s: %v", slow, err)
		}
	}
}

func TestATabThatLostItsConnectionTakesNobodyAway(t *testing.T) {
	n := newNetwork(Options{})
	a1, a2, b := n.open(1, "ann"), n.open(1, "ann"), n.open(2, "bob")
	for i, p := range []*peer{a1, a2, b} {
		p.connect()
		p.set(t, fmt.Sprintf(`{"n":%d}`, i))
		n.settle(first)
	}
	c := n.open(3, "cas")
	c.connect()
	n.settle(first)
	n.mustBeSeenBy(t, c, b.ClientID())
	// The first tab forgets everyone and tells the second, which tells the
	// server, at the clocks that are known.
	a1.drop()
	n.settle(func(int) int {
		n.mustBeSeenBy(t, c, b.ClientID())
		return 0
	})
	n.mustBeSeenBy(t, c, b.ClientID())
}

func (n *network) mustBeSeenBy(t *testing.T, p *peer, id uint64) {
	t.Helper()
	if p.State(id) == nil {
		t.Fatalf("client %d does not see %d", p.ClientID(), id)
	}
}

func TestOneWhoOnlyWatchesSeesTheOthers(t *testing.T) {
	n, a, b := two(t)
	watcher := n.open(3, "wim")
	watcher.set(t, `null`)
	watcher.connect()
	n.settle(first)
	n.mustBeSeen(t)
	n.mustBeSeenBy(t, watcher, a.ClientID())
	n.mustBeSeenBy(t, watcher, b.ClientID())
}

func TestAGoodbyeIsSeenAtOnce(t *testing.T) {
	n, a, b := two(t)
	old := a.conn
	a.disconnect()
	n.settle(first)
	n.mustBeSeen(t)
	n.hangUp(old)
	a.connect()
	n.settle(first)
	n.mustBeSeenBy(t, b, a.ClientID())
	n.pass(renew, first)
	n.mustBeSeen(t)
}

// TestReflectionsEnd: one change costs each client one reflection, no more.
func TestReflectionsEnd(t *testing.T) {
	n := newNetwork(Options{})
	var peers []*peer
	for i := range 20 {
		p := n.open(i, "")
		p.set(t, `{}`)
		p.connect()
		n.settle(first)
		peers = append(peers, p)
	}
	n.mustBeSeen(t)
	n.sent = 0
	peers[0].set(t, `{"cursor":5}`)
	n.settle(first)
	if n.sent != 20 {
		t.Fatalf("%d messages for one change among 20", n.sent)
	}
	n.mustBeSeen(t)
}

// TestGhosts does what happens to clients, in any order and with any delays,
// and then leaves them alone. In the end everyone sees exactly those who are
// there. It takes so long only if a state was reflected more than ForgetAfter
// late: that makes a ghost of another subject, which must first fall silent and
// then be forgotten.
func TestGhosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNetwork(Options{Grace: rapid.SampledFrom([]time.Duration{-1, 0, 10 * time.Second}).Draw(t, "grace")})
		open := rapid.Bool().Draw(t, "open mode")
		for i := range rapid.IntRange(2, 5).Draw(t, "clients") {
			browser := rapid.IntRange(0, 3).Draw(t, "browser")
			subject := fmt.Sprint("user ", browser)
			if open {
				subject = ""
			}
			p := n.open(browser, subject)
			if i%2 == 0 {
				p.connect()
			}
		}
		pick := func(k int) int { return rapid.IntRange(0, k-1).Draw(t, "next") }
		act := func() {
			p := n.clients[pick(len(n.clients))]
			switch rapid.SampledFrom(strings.Fields(
				"set set null connect connect drop disconnect hangup pass deliver deliver deliver")).Draw(t, "act") {
			case "set":
				c, err := p.SetLocalState(fmt.Appendf(nil, `{"n":%d}`, rapid.IntRange(0, 3).Draw(t, "n")), n.now)
				if err != nil {
					t.Fatal(err)
				}
				p.send(c)
			case "null":
				c, _ := p.SetLocalState(nil, n.now)
				p.send(c)
			case "connect":
				if p.conn == nil {
					p.connect()
				}
			case "drop":
				if p.conn != nil {
					p.drop()
				}
			case "disconnect":
				if p.conn != nil {
					p.disconnect()
				}
			case "hangup":
				if i := slices.IndexFunc(n.conns, func(c *conn) bool { return c.dead }); i >= 0 {
					n.hangUp(n.conns[i])
				}
			case "pass":
				n.now = n.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
				n.relay(n.presence.Expire(n.now), nil)
				renewal, timeout := p.Check(n.now)
				p.send(renewal)
				p.send(timeout)
			case "deliver":
				if d := n.deliverable(); len(d) > 0 {
					d[pick(len(d))]()
				}
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			act()
		}
		n.settle(first)
		for _, c := range slices.Clone(n.conns) {
			if c.dead {
				n.hangUp(c)
			}
		}
		n.pass(OutdatedAfter+ForgetAfter+renew, first)
		if err := n.wantSeen(); err != nil {
			t.Fatal(err)
		}
	})
}
