package differential

import (
	"fmt"
	"slices"
	"testing"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// TestRevert reverts a document to moments of random histories, in the midst of them and at their end.
// Every replica, here and in Yjs, gets the revert as an update and ends with what was there then; but
// where surrogate pairs are cut, the replica that cut them keeps halves that its updates cannot say.
func TestRevert(t *testing.T) {
	eachHistory(t, *runFor/3, runRevert)
}

// server is a document that learns from the replicas of a history and is reverted.
type server struct {
	*live
	replica *replica.Replica
	moments []serverMoment
}

type serverMoment struct {
	state []byte // V2
	deep  map[string]vectors.Value
}

func runRevert(p *peer, seed uint64) error {
	h, err := openLive(p, plan{seed: seed}, false, false)
	if err != nil {
		return err
	}
	s := &server{live: h, replica: replica.New(replica.Options{ClientID: 7, NoFormatCleanup: true, Roots: h.roots})}
	if err := s.moment(); err != nil {
		return err
	}
	for step := range 30 + h.IntN(60) {
		h.draw(uint64(step+1) << 8)
		var err error
		switch n := h.IntN(10); {
		case n < 4:
			err = h.edit(step, h.replicas[h.IntN(len(h.replicas))])
		case n < 7:
			err = h.deliver(h.replicas[h.IntN(len(h.replicas))])
		case n < 9:
			if err = s.learn(); err == nil {
				err = s.moment()
			}
		default:
			var u update
			if u, err = s.revert(s.moments[h.IntN(len(s.moments))]); err == nil {
				n := s.publish(u)
				for _, m := range h.replicas {
					m.inbox = append(m.inbox, n)
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

// content is what others get of the server: formats and embeds lose what JSON cannot say.
func (s *server) content() (map[string]vectors.Value, error) {
	sent := replica.New(replica.Options{Roots: s.roots})
	if err := sent.ApplyOnly(1, s.replica.Doc.AppendDiff(nil, crdt.V1, crdt.StateVector{})); err != nil {
		return nil, err
	}
	deep := map[string]vectors.Value{}
	for _, n := range s.names {
		v, err := sent.Content("deep", n, s.roots[n])
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

// publish numbers an update of the server.
func (s *server) publish(u update) int {
	s.updates = append(s.updates, u)
	return len(s.updates) - 1
}

// revertAll reverts once all know everything, and compares what Yjs has then.
func (s *server) revertAll(to serverMoment) error {
	// What the server made reaches all: settling drops what is on its way, as the
	// replicas have it from each other.
	d := s.replica.Doc
	all := s.publish(update{d.AppendDiff(nil, crdt.V1, crdt.StateVector{}), d.AppendDiff(nil, crdt.V2, crdt.StateVector{})})
	for _, m := range s.replicas {
		if err := s.apply(m, s.version(), []int{all}); err != nil {
			return err
		}
	}
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
	n := s.publish(u)
	for _, m := range s.replicas {
		if err := s.apply(m, s.version(), []int{n}); err != nil {
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
	theirs, err := s.peer.call("all", arg{"doc", m.name()})
	if err != nil {
		return err
	}
	for _, n := range s.names {
		if d := vectors.Diff(to.deep[n], unloaded(theirs.Get("deep").Get(n))); d != "" {
			return fmt.Errorf("%s: reverted in Yjs: %s%s", m.name(), n, d)
		}
	}
	return nil
}

// unloaded leaves out what is a replica's own affair: whether it wants a subdocument loaded, and what JSON
// cannot say, which formats and embeds keep at the replica that made them only.
func unloaded(v vectors.Value) vectors.Value {
	switch {
	case v.Get("$undef").Bool:
		return vectors.MakeNull()
	case v.Get("$num").Str == "-0":
		return vectors.MakeNumber(0)
	case v.Get("$num").Str != "":
		return vectors.MakeNull()
	}
	v.List, v.Fields = slices.Clone(v.List), slices.Clone(v.Fields)
	for i := range v.List {
		v.List[i] = unloaded(v.List[i])
	}
	v.Fields = slices.DeleteFunc(v.Fields, func(f vectors.Field) bool { return f.Key == "shouldLoad" || f.Value.Get("$undef").Bool })
	for i := range v.Fields {
		v.Fields[i].Value = unloaded(v.Fields[i].Value)
	}
	return v
}
