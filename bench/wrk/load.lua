-- Arguments: method, body bytes, number of routes (0: the URL as given), milliseconds before each request on each
-- connection. Ends with one line of JSON, because wrk's own text rounds its times and leaves out what it finds to be
-- zero.

function init(args)
  local method, body_bytes, routes, pause = args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  wrk.method = method
  if body_bytes > 0 then
    wrk.body = string.rep("x", body_bytes)
  end
  if pause > 0 then
    delay = function()
      return pause
    end
  end
  if routes > 0 then
    local requests, at = {}, 0
    for i = 0, routes - 1 do
      requests[i] = wrk.format(nil, "/api/v1/service-" .. i .. "/items/42")
    end
    request = function()
      -- A prime step reaches every route in an order that no cache foresees.
      at = (at + 7919) % routes
      return requests[at]
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"durationUs":%d,"bytes":%d,"p50Us":%d,"p99Us":%d,"maxUs":%d,' ..
    '"failedStatus":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout
  ))
end
