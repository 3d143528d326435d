package crdt

// SetLimits changes what the document accepts from now on. What it holds
// already stays, whatever it exceeds: a document that was rebuilt from its own
// log under wide limits gets those of the edge before it takes in what others
// send.
func (d *Doc) SetLimits(l Limits) { d.limits = l.withDefaults() }
