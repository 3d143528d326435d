import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'

const messageSync = 0
const messageAck = 102
const syncStep1 = 0

/**
 * Tells whether everything that was typed here is durable on the server.
 *
 * After each local change the page sends message 102 with a counter; the server
 * echoes it when all that came before is committed. After a reconnect the
 * changes made offline travel in the answer to the server's SyncStep1, so the
 * counter is sent again right after that answer.
 *
 * @param {import('y-websocket').WebsocketProvider} provider
 * @param {(state: { made: number, durable: number }) => void} changed
 */
export const trackAcknowledgements = (provider, changed) => {
  let made = 0
  let durable = 0

  const ask = () => {
    const ws = provider.ws
    if (made === 0 || !provider.wsconnected || ws === null) return
    const payload = encoding.createEncoder()
    encoding.writeVarUint(payload, made)
    const message = encoding.createEncoder()
    encoding.writeVarUint(message, messageAck)
    encoding.writeVarUint8Array(message, encoding.toUint8Array(payload))
    ws.send(encoding.toUint8Array(message))
  }

  provider.messageHandlers[messageAck] = (_encoder, decoder) => {
    const n = decoding.readVarUint(decoding.createDecoder(decoding.readVarUint8Array(decoder)))
    durable = Math.max(durable, Math.min(n, made))
    changed({ made, durable })
  }

  const sync = provider.messageHandlers[messageSync]
  provider.messageHandlers[messageSync] = (encoder, decoder, ...rest) => {
    const kind = decoder.arr[decoder.pos]
    sync(encoder, decoder, ...rest)
    // The provider sends its answer when this handler has returned.
    if (kind === syncStep1) queueMicrotask(ask)
  }

  // Registered after the provider's own listener: the update leaves first.
  provider.doc.on('update', (_update, origin) => {
    if (origin === provider) return
    made++
    changed({ made, durable })
    ask()
  })
}
