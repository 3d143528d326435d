package crdt

// Units count the units that a document was ever given: UTF-16 code units of
// text, values, embeds, format marks, elements.
type Units struct {
	// Live are there, Deleted were and are not: what is left of them is a place.
	Live, Deleted uint64
}

// Units counts the units of the document, without what is pending. It costs
// what the delete set has ranges.
func (d *Doc) Units() Units {
	var all, deleted uint64
	for c := 1; c < len(d.clients); c++ {
		cl := d.clients[c]
		all += uint64(cl.state)
		for _, s := range cl.deleted.settled() {
			deleted += uint64(s.to - s.from)
		}
	}
	return Units{Live: all - deleted, Deleted: deleted}
}
