// PostGraphile as one process of its users runs it in production: preset amber, nothing that only helps developers.
// DATABASE_URL names the database, POOL_SIZE how many connections; --port the port.
import { createServer } from 'node:http'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  pgServices: [
    makePgService({
      connectionString: process.env.DATABASE_URL,
      poolConfig: { max: Number(process.env.POOL_SIZE) },
      schemas: ['public', 'peers'],
    }),
  ],
  grafast: { explain: false },
  grafserv: { watch: false, graphiql: false, websockets: false, outputDataAsString: true },
})
const answering = createServer()
await instance.createServ(grafserv).addTo(answering)
await instance.getSchema()
const server = createServer((request, response) => {
  if (request.url === '/healthz') response.end()
  else answering.emit('request', request, response)
})
server.listen(Number(process.argv[process.argv.indexOf('--port') + 1]), '127.0.0.1')
