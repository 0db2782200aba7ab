-- PUT of 1 KiB, each to a path of its own
local body = string.rep("0123456789abcdef", 64)
local number, started = 0, 0
function setup(thread) started = started + 1 thread:set("id", started) end
function init(args) math.randomseed(os.time() + id) run = math.random(1e9) end
function request()
  number = number + 1
  return wrk.format("PUT", string.format("/api/v1/objects/bench/small/%d-%d-%d.txt", run, id, number), nil, body)
end
