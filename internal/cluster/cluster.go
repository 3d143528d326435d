package cluster

import (
	"context"
	"errors"

	"ysync/persistence"
)

// ErrNoNode: no live node may take the document now. Try again later.
var ErrNoNode = errors.New("cluster: no node can take the document now")

// Wire is the range of versions that a node speaks between nodes, both
// included.
type Wire struct {
	Least  int `json:"least"`
	Newest int `json:"newest"`
}

// Node is a member of the cluster.
type Node struct {
	// Boot is random per start of the process: two runs are two nodes. It is
	// the owner in claims.
	Boot string `json:"boot"`
	// Name is for people; it need not be unique.
	Name string `json:"name"`
	// Relay is where other nodes reach this one, host:port; empty when they
	// can't.
	Relay string `json:"relay"`
	// Weight is the capacity in relation to other nodes, over 0.
	Weight float64 `json:"weight"`
	// Draining: it takes no more documents, but serves those that it has until
	// they are handed over.
	Draining bool `json:"draining,omitempty"`
	// Mute: the update log does not answer it, so it is given no documents and
	// those that it has may be claimed by a node that the log answers.
	Mute bool `json:"mute,omitempty"`
	// Client and Operations are where it listens for clients and operators,
	// for people to follow.
	Client     string `json:"client,omitempty"`
	Operations string `json:"operations,omitempty"`
	Wire       Wire   `json:"wire"`
	// Version is that of the program.
	Version string `json:"version"`
}

// Directory answers where documents are. Its methods may be called from any
// goroutine.
type Directory interface {
	// Self is this node as others see it.
	Self() Node
	// Owner is the node at which a document is to be reached now, which may be
	// Self. It may read the update log. Errors: ErrNoNode, those of the log, the
	// context's.
	Owner(ctx context.Context, document string) (Node, error)
	// Refused tells that the node's port refused a connection: nothing listens
	// there. It is ground to give its documents to others. A time-out is not.
	Refused(node Node)
	// Moved tells that a node which Owner named said that it is not, or no
	// longer, the document's owner, so that Owner looks again.
	Moved(document string)
	// Members are the live nodes as last heard of, Self among them, in order of
	// Boot. The caller must not modify it.
	Members() []Node
	// Changed is closed at the next change of Members. Ask again for the one
	// after it. Ask before Members is read, not to miss one.
	Changed() <-chan struct{}
	// Close takes this node off the members.
	Close(ctx context.Context) error
}

// Alone is the Directory of a node that has no others: it owns everything.
type Alone struct {
	nodes  []Node
	change chan struct{} // never closed
}

// Static returns the Directory of a node that is alone.
func Static(self Node) *Alone {
	return &Alone{nodes: []Node{self}, change: make(chan struct{})}
}

// Self implements Directory.
func (s *Alone) Self() Node { return s.nodes[0] }

// Owner implements Directory.
func (s *Alone) Owner(context.Context, string) (Node, error) { return s.nodes[0], nil }

// Refused implements Directory.
func (s *Alone) Refused(Node) {}

// Moved implements Directory.
func (s *Alone) Moved(string) {}

// Members implements Directory.
func (s *Alone) Members() []Node { return s.nodes }

// Changed implements Directory.
func (s *Alone) Changed() <-chan struct{} { return s.change }

// Open does what Member.Open does: any document may be opened here.
func (s *Alone) Open(context.Context, string) (persistence.Epoch, error) { return 0, nil }

// Announce does what Member.Announce does: there is nobody to tell.
func (s *Alone) Announce(Ahead) {}

// Keep does what Member.Keep does: there is nothing to look after.
func (s *Alone) Keep(Documents) {}

// Drain does what Member.Drain does: there is nobody to hand over to.
func (s *Alone) Drain(context.Context) error { return nil }

// Close implements Directory.
func (s *Alone) Close(context.Context) error { return nil }
