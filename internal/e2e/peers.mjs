// Peers of each released y-websocket line, behind one small surface.
import WebSocket from 'ws'
import * as Y from 'yjs'
import * as Y14 from '@y/y'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { WebsocketProvider as Provider2 } from 'y-websocket-2'
import { WebsocketProvider as Provider3 } from 'y-websocket-3'
import { WebsocketProvider as Provider4 } from '@y/websocket'

export const versions = { '1.5.4': Provider1, '2.1.0': Provider2, '3.1.0': Provider3 }
export const server = process.env.YSYNC_URL

if (!server) throw new Error('YSYNC_URL is not set')

/** Connects a peer. Without BroadcastChannel: everything goes over the socket. */
export const connect = (Provider, name, { doc = new Y.Doc(), ...options } = {}) => {
  const provider = new Provider(server, name, doc, { WebSocketPolyfill: WebSocket, disableBc: true, ...options })
  const peer = { doc, provider, closed: [] }
  provider.on('connection-close', event => { if (event) peer.closed.push({ code: event.code, reason: String(event.reason) }) })
  return peer
}

export const connect14 = name => connect(Provider4, name, { doc: new Y14.Doc() })

export const close = (...peers) => peers.forEach(p => { p.provider.destroy(); p.doc.destroy() })

/** Resolves when check() is true; the error tells what was still different. */
export const until = async (what, check, ms = 20_000) => {
  const deadline = Date.now() + ms
  for (;;) {
    if (check()) return
    if (Date.now() > deadline) throw new Error(`gave up after ${ms} ms waiting until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

export const synced = (...peers) => until('all peers are synced', () => peers.every(p => p.provider.synced))

const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i])

/** All docs hold the same blocks and deletes, and nothing waits for more. */
export const converged = (...peers) => {
  const states = peers.map(p => Y.encodeSnapshot(Y.snapshot(p.doc)))
  return states.every(s => same(s, states[0])) &&
    peers.every(p => p.doc.store.pendingStructs === null && p.doc.store.pendingDs === null)
}

/** Asks for an acknowledgement of all that was sent so far; resolves with the echo. */
export const acknowledged = (peer, n) => new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error('no acknowledgement')), 15_000)
  peer.provider.messageHandlers[102] = (_encoder, decoder) => {
    const length = decoder.arr[decoder.pos++]
    const payload = [...decoder.arr.subarray(decoder.pos, decoder.pos + length)]
    if (payload[0] === n) { clearTimeout(timer); resolve(payload) }
  }
  peer.provider.ws.send(new Uint8Array([102, 1, n]))
})
