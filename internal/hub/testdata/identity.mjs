// Makes identity.json, by real Yjs: node identity.mjs > identity.json, with yjs
// 13.6 to be found. Each value is an update V1 in hexadecimal.
import * as Y from 'yjs'

// Yjs tells on standard output when it meets its own client ID.
const print = console.log
console.log = console.error

const doc = (id) => { const d = new Y.Doc(); d.clientID = id; return d }
const hex = (u) => Buffer.from(u).toString('hex')
const since = (d, sv) => hex(Y.encodeStateAsUpdate(d, sv))
const out = {}

// Client 11 writes; a copy of it with the same ID writes something else there.
const ann = doc(11)
ann.getText('t').insert(0, 'hello')
out.hello = since(ann)
const twin = doc(11)
Y.applyUpdate(twin, Y.encodeStateAsUpdate(ann))
const before = Y.encodeStateVector(ann)
ann.getText('t').insert(5, ' world 😀')
out.world = since(ann, before)
twin.clientID = 11
twin.getText('t').insert(5, ' there')
out.fork = since(twin, before)
const map = doc(11)
map.getMap('m').set('k', [1, 2])
out.map = since(map)

// Client 12 was offline with 11: it passes on what 11 made, and its own.
const bob = doc(12)
Y.applyUpdate(bob, Y.encodeStateAsUpdate(ann))
bob.getText('t').insert(0, 'Bob: ')
out.mesh = since(bob)
const had = Y.encodeStateVector(bob)
bob.getText('t').insert(0, '> ')
out.own = since(bob, had)

// Client 13 has typed and deleted a lot offline.
const carol = doc(13)
const text = carol.getText('t')
for (let i = 0; i < 200; i++) {
  text.insert(0, 'x'.repeat(50_000))
  text.delete(0, 50_000)
}
text.insert(0, 'c')
out.typed = since(carol)

// A surrogate pair of client 14 is cut in two by a deletion.
const dave = doc(14)
dave.getText('t').insert(0, 'a😀b')
out.pair = since(dave)
dave.getText('t').delete(1, 1)
out.cut = since(dave)

// Client 15 has formats, embeds and types; all of it comes twice.
const eve = doc(15)
eve.getText('r').insert(0, 'bold', { bold: true })
eve.getText('r').insertEmbed(2, { image: 'x' })
eve.getArray('a').insert(0, [1, 'two', null, { three: 3 }, new Uint8Array([4])])
eve.getXmlFragment('x').insert(0, [new Y.XmlElement('p')])
eve.getMap('s').set('d', new Y.Doc({ guid: 'sub' }))
out.rich = since(eve)
eve.getText('r').delete(0, 2)
eve.getArray('a').delete(0, 1)
out.again = since(eve)

print(JSON.stringify(out, null, 1))
