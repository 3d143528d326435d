package cluster

// Silence makes a member say nothing any more, as if its process had died.
func (m *Member) Silence() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.working.Wait()
}
