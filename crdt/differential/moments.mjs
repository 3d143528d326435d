// What Yjs has at moments of an editing session: applies the updates of a file of crdt/testdata one by one, and prints
// for each position on standard input one line with digests of all that it shows then.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import * as Y from 'yjs'

const all = gunzipSync(readFileSync(process.argv[2]))
const positions = JSON.parse(readFileSync(0, 'utf8'))
const doc = new Y.Doc()
const digest = bytes => createHash('sha256').update(bytes).digest('hex')

let at = 0
const next = () => {
  let n = 0
  for (let shift = 0; ; shift += 7) {
    const b = all[at++]
    n += (b & 0x7f) * 2 ** shift
    if (b < 0x80) break
  }
  at += n
  return all.subarray(at - n, at)
}

let applied = 0
for (const position of positions) {
  for (; applied < position; applied++) Y.applyUpdate(doc, next())
  const text = doc.getText('text')
  console.log(JSON.stringify({
    position,
    json: digest(JSON.stringify(doc.toJSON())),
    text: digest(text.toString()),
    delta: digest(JSON.stringify(text.toDelta())),
    vector: digest(Y.encodeStateVector(doc)),
    snapshot: digest(Y.encodeSnapshot(Y.snapshot(doc)))
  }))
}
