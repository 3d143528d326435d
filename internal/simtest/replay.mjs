// Replays the logs that simulations ended with in real Yjs, and compares what comes of them with what the engine here
// made of them. Lines of JSON come in; what differs goes out, a line each, and then how many were replayed.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const Y = createRequire(new URL('../../crdt/differential/package.json', import.meta.url))('yjs')

const sorted = object => JSON.stringify(Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1))))

let count = 0
for await (const line of createInterface({ input: process.stdin })) {
  const { name, base, updates, vector, text, map, array, waits } = JSON.parse(line)
  let doc = new Y.Doc()
  if (base) Y.applyUpdateV2(doc, Buffer.from(base, 'base64'))
  for (const update of updates) Y.applyUpdate(doc, Buffer.from(update, 'base64'))
  // Yjs may leave something waiting though all is there; whoever loads what it has, has it all.
  if (doc.store.pendingStructs) {
    const loaded = new Y.Doc()
    Y.applyUpdate(loaded, Y.encodeStateAsUpdate(doc))
    doc = loaded
  }
  const [t, m, a] = [doc.getText('text'), doc.getMap('map'), doc.getArray('array')]
  const state = Object.fromEntries([...Y.decodeStateVector(Y.encodeStateVector(doc))].map(([id, clock]) => [String(id), clock]))
  const differ = (what, theirs, ours) => {
    if (theirs !== ours) console.log(`${name}: ${what}: Yjs has ${theirs}, here is ${ours}`)
  }
  differ('state vector', sorted(state), sorted(vector))
  differ('text', t.toString(), text)
  differ('map', sorted(m.toJSON()), sorted(map))
  differ('array', JSON.stringify(a.toJSON()), JSON.stringify(array))
  differ('waiting', doc.store.pendingStructs !== null || doc.store.pendingDs !== null, waits)
  count++
}
console.log(`replayed ${count}`)
