package simtest

import (
	"fmt"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// act does what people do: mostly they type.
func (c *client) act() {
	switch n := c.dice.n(20); {
	case n == 0:
		if c.conn != nil {
			c.show()
		}
	case !c.writer:
	case n < 3 && c.conn != nil:
		c.ask(nil)
	default:
		for range 1 + c.dice.n(3) {
			c.edit()
		}
		if c.conn != nil && c.dice.one(2) {
			c.ask(nil)
		}
	}
}

// edit makes some change and sends it if there is a connection; if not, the next
// one asks for it.
func (c *client) edit() { c.change(c.dice.n(10)) }

// typeOn types: what is new shows what is missing before it.
func (c *client) typeOn() { c.change(0) }

func (c *client) change(kind int) {
	text, list, fields := c.replica.Text(textRoot), c.replica.Array(arrayRoot), c.replica.Map(mapRoot)
	before := c.clock()
	token := fmt.Sprintf("%d.%d ", c.id, c.clock())
	commit, err := c.replica.Transact(nil, func(tx *crdt.Txn) {
		switch n := kind; {
		case n < 5:
			text.Insert(tx, c.dice.n(text.Len()+1), token)
		case n < 6 && text.Len() > 40:
			at := c.dice.n(text.Len() - 10)
			text.Delete(tx, at, 1+c.dice.n(10))
		case n < 7 && list.Len() > 2:
			list.Delete(tx, c.dice.n(list.Len()), 1)
		case n < 8:
			list.Insert(tx, c.dice.n(list.Len()+1), crdt.String(token), crdt.Int(c.number))
		case n < 9 && fields.Len() > 2:
			fields.Delete(tx, fmt.Sprint("k", c.dice.n(6)))
		default:
			fields.Set(tx, fmt.Sprint("k", c.dice.n(6)), crdt.String(token))
		}
	})
	if err != nil {
		c.w.fault("I2", "client %d: %v", c.number, err)
		return
	}
	if commit.Empty() {
		return
	}
	c.w.count("edits")
	update := commit.AppendUpdate(nil, crdt.V1)
	first := len(c.deletes)
	c.w.makes(c)
	deleted := commit.Deletes()
	for client, r := range deleted.All() {
		for at := r.From; at < r.To; at++ {
			c.deletes = append(c.deletes, deletion{id: crdt.ID{Client: client, Clock: at}})
		}
	}
	if c.conn == nil {
		return
	}
	if !c.sendUpdate(update) {
		return
	}
	// What brings no units shows no gap before it.
	if c.clock() > before {
		c.sentClock = c.clock()
	}
	c.bring(first)
}

// sendUpdate sends an update. While something is wrong with the connection it
// may be lost, doubled or overtaken; it tells whether it is on its way.
func (c *client) sendUpdate(update []byte) bool {
	frame := syncproto.AppendUpdate(nil, update)
	held := c.heldUp
	c.heldUp = nil
	if time.Now().Before(c.oddTo) {
		switch c.dice.n(4) {
		case 0:
			c.w.count("client message dropped")
			c.lossy = true
			if held != nil {
				c.send(held)
			}
			return false
		case 1:
			c.w.count("client message doubled")
			c.send(frame)
		case 2:
			if held == nil {
				c.w.count("client message overtaken")
				c.heldUp, c.lossy = frame, true
				return false
			}
		}
	}
	c.send(frame)
	if held != nil {
		c.send(held)
	}
	return true
}
