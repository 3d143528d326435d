package differential

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// TestRevert reverts a document to moments of random histories, in the midst of them and at their end.
// Every replica, here and in Yjs, gets the revert as an update and ends with what was there then; but
// where surrogate pairs are cut, the replica that cut them keeps halves that its updates cannot say.
func TestRevert(t *testing.T) {
	p, ok := needPeer(t)
	if !ok {
		return
	}
	first := firstSeed()
	t.Logf("seeds from %d", first)
	ran := 0
	for end := time.Now().Add(*runFor / 3); time.Now().Before(end); ran++ {
		if err := runRevert(p, first+uint64(ran)); err != nil {
			t.Fatalf("after %d histories, -seed %d: %v", ran, first+uint64(ran), err)
		}
		if *seed != 0 {
			return
		}
	}
	t.Logf("%d histories agree", ran)
}

// server is a document that learns from the replicas of a history and is reverted.
type server struct {
	*history
	replica *replica.Replica
	moments []serverMoment
}

type serverMoment struct {
	state []byte // V2
	deep  map[string]vectors.Value
}

func runRevert(p *peer, seed uint64) error {
	h := newHistory(p, seed)
	if err := h.open(); err != nil {
		return err
	}
	s := &server{history: h, replica: replica.New(replica.Options{ClientID: 7, NoFormatCleanup: true, Roots: h.roots})}
	if err := s.moment(); err != nil {
		return err
	}
	for step := range 30 + h.IntN(60) {
		var err error
		switch n := h.IntN(10); {
		case n < 4:
			err = h.edit(h.replicas[h.IntN(len(h.replicas))])
		case n < 7:
			err = h.deliver(h.replicas[h.IntN(len(h.replicas))])
		case n < 9:
			if err = s.learn(); err == nil {
				err = s.moment()
			}
		default:
			var u update
			if u, err = s.revert(s.moments[h.IntN(len(s.moments))]); err == nil {
				for _, m := range h.replicas {
					m.inbox = append(m.inbox, u)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w\n%s", step, err, h.tail())
		}
	}
	for _, m := range []serverMoment{s.moments[h.IntN(len(s.moments))], s.moments[0], s.moments[len(s.moments)-1]} {
		if err := s.revertAll(m); err != nil {
			return fmt.Errorf("at the end: %w\n%s", err, h.tail())
		}
	}
	return nil
}

// learn brings the server up to all replicas.
func (s *server) learn() error {
	for _, m := range s.replicas {
		diff, err := m.ours.StateDiff(2, s.replica.SV())
		if err != nil {
			return err
		}
		if err := s.replica.ApplyOnly(2, diff); err != nil {
			return err
		}
	}
	return s.replica.Check()
}

func (s *server) content() (map[string]vectors.Value, error) {
	deep := map[string]vectors.Value{}
	for _, n := range s.names {
		v, err := s.replica.Content("deep", n, s.roots[n])
		if err != nil {
			return nil, err
		}
		deep[n] = unloaded(v)
	}
	return deep, nil
}

func (s *server) moment() error {
	deep, err := s.content()
	if err != nil {
		return err
	}
	s.note("the server keeps a moment")
	s.moments = append(s.moments, serverMoment{s.replica.Doc.AppendDiff(nil, crdt.V2, crdt.StateVector{}), deep})
	return nil
}

// revert reverts the server and checks what it has then.
func (s *server) revert(to serverMoment) (update, error) {
	past := replica.New(replica.Options{Roots: s.roots})
	if err := past.ApplyOnly(2, to.state); err != nil {
		return update{}, err
	}
	c, err := s.replica.Doc.Transact("revert", func(tx *crdt.Txn) { tx.Revert(past.Doc) })
	if err != nil {
		return update{}, err
	}
	u := update{c.AppendUpdate(nil, crdt.V1), c.AppendUpdate(nil, crdt.V2)}
	s.note("the server reverts by %s", b64(u.v1))
	if err := s.replica.Check(); err != nil {
		return u, err
	}
	deep, err := s.content()
	if err != nil {
		return u, err
	}
	for _, n := range s.names {
		if d := vectors.Diff(to.deep[n], deep[n]); d != "" {
			return u, fmt.Errorf("reverted: %s%s", n, d)
		}
	}
	return u, nil
}

// revertAll reverts once all know everything, and compares what Yjs has then.
func (s *server) revertAll(to serverMoment) error {
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.learn(); err != nil {
		return err
	}
	u, err := s.revert(to)
	if err != nil {
		return err
	}
	for _, m := range s.replicas {
		version := 1 + s.IntN(2)
		if err := s.apply(m, version, u.bytes(version)); err != nil {
			return err
		}
	}
	if !s.plainText {
		return s.settle()
	}
	for _, m := range s.replicas {
		if err := s.compareReverted(m, to); err != nil {
			return err
		}
	}
	return s.settle()
}

// compareReverted compares what Yjs has with a moment.
func (s *server) compareReverted(m *member, to serverMoment) error {
	theirs, err := s.peer.call("all", arg{"doc", m.name})
	if err != nil {
		return err
	}
	for _, n := range s.names {
		if d := vectors.Diff(to.deep[n], unloaded(theirs.Get("deep").Get(n))); d != "" {
			return fmt.Errorf("%s: reverted in Yjs: %s%s", m.name, n, d)
		}
	}
	return nil
}

// unloaded leaves out whether a replica wants a subdocument loaded, which is its own affair.
func unloaded(v vectors.Value) vectors.Value {
	v.List, v.Fields = slices.Clone(v.List), slices.Clone(v.Fields)
	for i := range v.List {
		v.List[i] = unloaded(v.List[i])
	}
	v.Fields = slices.DeleteFunc(v.Fields, func(f vectors.Field) bool { return f.Key == "shouldLoad" })
	for i := range v.Fields {
		v.Fields[i].Value = unloaded(v.Fields[i].Value)
	}
	return v
}
