// What real Yjs makes of the updates of documents: one JSON object { document, updates } per line on standard input, updates in base64
// and in the order in which they are to be applied; one answer per line on standard output.
import * as readline from 'node:readline'
import * as Y from 'yjs'

console.log = console.error

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { document, updates } = JSON.parse(line)
  const doc = new Y.Doc()
  doc.transact(() => { for (const u of updates) Y.applyUpdate(doc, Buffer.from(u, 'base64')) })
  process.stdout.write(JSON.stringify({
    document,
    text: doc.getText('text').toString(),
    array: doc.getArray('array').toJSON(),
    map: doc.getMap('map').toJSON(),
    vector: Object.fromEntries(Y.decodeStateVector(Y.encodeStateVector(doc))),
    pending: doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  }) + '\n')
}
