// What `scripts/bench fanout` compares with: a board in memory on graphql-ws. POST /publish sends its body, an update of
// the board, to all subscribers under the next revision, and answers when that was, in milliseconds of the wall clock.
import { EventEmitter, on } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const schema = buildSchema(readFileSync(new URL('board.graphql', import.meta.url), 'utf8'))
const board = new EventEmitter().setMaxListeners(0)
let number = 1000

async function* pipelineBoard() {
  const updates = on(board, 'update')
  yield { pipelineBoard: { revision: `peer.${number}`, caughtUp: true, events: [], stages: [] } }
  for await (const [update] of updates) yield { pipelineBoard: update }
}

function publish(update) {
  const at = performance.timeOrigin + performance.now()
  const revision = update.revision.replace(/\d+$/, ++number)
  update.revision = update.events[0].revision = revision
  board.emit('update', update)
  return { at, revision }
}

const server = createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    const published = request.url === '/publish' && publish(JSON.parse(Buffer.concat(parts)))
    response.end(JSON.stringify(published || { revision: `peer.${number}` }))
  })
})
const sockets = new WebSocketServer({ server, path: '/graphql', perMessageDeflate: false })
useServer({ schema, roots: { subscription: { pipelineBoard } } }, sockets)
server.listen(Number(process.argv[process.argv.indexOf('--port') + 1]), '127.0.0.1')
