package awareness

import "time"

// list is a doubly linked list of entries by ascending time. The zero value is
// empty.
type list struct {
	head, tail *entry
	len        int
}

// move puts e at the end of l, out of whichever list it is in.
func (l *list) move(e *entry, at time.Time) {
	e.unlink()
	e.at = at
	e.list = l
	e.prev = l.tail
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	l.len++
}

// unlink takes e out of its list, if it is in one.
func (e *entry) unlink() {
	l := e.list
	if l == nil {
		return
	}
	if e.prev == nil {
		l.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.list, e.prev, e.next = nil, nil, nil
	l.len--
}

// due returns the oldest entry if it came before or at the time, else nil.
func (l *list) due(at time.Time) *entry {
	if l.head != nil && !l.head.at.After(at) {
		return l.head
	}
	return nil
}

// after returns the first entry that came after the time, and how many did.
func (l *list) after(at time.Time) (first *entry, n int) {
	n = l.len
	for first = l.head; first != nil && !first.at.After(at); first = first.next {
		n--
	}
	return first, n
}
