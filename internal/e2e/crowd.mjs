// Real clients of one document, each with a state a second, until standard input
// ends. Prints "synced", and at last how many clients each of them shows.
import { connect, versions, synced } from './peers.mjs'

const [name, count] = process.argv.slice(2)
const lines = Object.values(versions)
const peers = Array.from({ length: Number(count) }, (_, i) => connect(lines[i % lines.length], name))
await synced(...peers)
console.log('synced')

let n = 0
const timer = setInterval(() => {
  n++
  peers.forEach((p, i) => p.provider.awareness.setLocalState({ user: { name: `Real ${i}` }, cursor: { anchor: n, head: n } }))
}, 1000)

process.stdin.resume()
process.stdin.on('end', () => {
  clearInterval(timer)
  console.log(peers.map(p => p.provider.awareness.getStates().size).join(' '))
  process.exit(0)
})
