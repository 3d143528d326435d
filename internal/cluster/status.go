package cluster

import (
	"fmt"
	"time"
)

// Status is what an operator wants to know. It encodes as JSON and holds no
// secret.
type Status struct {
	Self    Node   `json:"self"`
	Members []Node `json:"members"`
	// Leased: others know that this node lives.
	Leased   bool       `json:"leased"`
	Redis    RollStatus `json:"redis"`
	Postgres RollStatus `json:"postgres"`
	// Degraded says, a line each, what is gone and what that means.
	Degraded []string `json:"degraded"`
}

// RollStatus is one of the places where nodes say that they live.
type RollStatus struct {
	Up bool `json:"up"`
	// Down is since when it does not answer, Error why.
	Down  time.Time `json:"down,omitzero"`
	Error string    `json:"error,omitempty"`
}

// Status returns the state of now.
func (m *Member) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Self: m.self, Members: m.members, Leased: m.leased(), Degraded: []string{}}
	for i, to := range []*RollStatus{&s.Redis, &s.Postgres} {
		r := m.rolls[i]
		*to = RollStatus{Up: r.up, Down: r.downAt}
		if r.err != nil {
			to.Error = r.err.Error()
		}
	}
	if !s.Redis.Up {
		s.Degraded = append(s.Degraded, "Redis does not answer: documents are served, claimed and moved by what the database says, and a dead node is noticed later")
	}
	if s.Redis.Up && m.emptied > 0 && m.opt.BootTime()-m.emptied < m.ttl {
		s.Degraded = append(s.Degraded, "Redis has lost what it held: nodes are seen in the database until they have said again that they live, and no document moves")
	}
	if !s.Postgres.Up {
		s.Degraded = append(s.Degraded, "the database does not answer: edits are passed on and not acknowledged, documents are where they were, and none is claimed")
	}
	if s.Self.Mute {
		s.Degraded = append(s.Degraded, fmt.Sprintf("the database has not answered this node for %v: nodes that it answers may take its documents", m.ttl))
	}
	if !s.Leased {
		s.Degraded = append(s.Degraded, "neither Redis nor the database has heard of this node for a while: others may take it for dead")
	}
	return s
}
