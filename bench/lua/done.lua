-- What wrk knows at the end, as one line that a program can read
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %.3f %.3f", summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
