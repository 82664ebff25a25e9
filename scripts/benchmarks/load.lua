-- For wrk: posts the lines of a file in their order, again and again, and prints the figures as JSON in the last line.
local thread
local requests = {}
local place = 0
wrong = 0

function setup(made)
  thread = made
end

function init(arguments)
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format('POST', '/graphql', nil, line)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

-- Errors of the request and of a mutation's user; some servers write a space.
function response(status, headers, body)
  if status ~= 200 or body:find('rrors":[{', 1, true) or body:find('rrors": [{', 1, true) then wrong = wrong + 1 end
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "wrong": %d, "lost": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    thread:get('wrong'), lost
  ))
end
