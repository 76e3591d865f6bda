"""Lua: what has to happen at once in the server.

Every script works within one partition. ``ARGV[1]`` is what the partition's keys begin with
(`Keys.prefix`), where a script needs more keys than the one that it is given:

    :events :items :pairs    streams
    :user:<key>              sorted set, the index of a user's events: places that sort as text
    :ids:<key>               hash of a user's event ids: entry id|fingerprint
    :erased:<key>            entry id of the newest mark that a user is erased
    :newest                  hash of each item's newest entry: its id, then "|" where it deletes
    :totals                  hash of what is held: events:<tenant>, items:<tenant>
    :committed               hash of channel to entry id
    :owner                   the worker that has the lease

What an event has in ``:user``, ``:ids`` and ``:totals`` goes when its entry goes.
"""

from __future__ import annotations

from typing import Final

from indexer.domain.events import ERASE
from indexer.domain.ids import DEFAULT_TENANT

__all__ = [
    "ADD_LETTER",
    "ADOPT",
    "APPEND",
    "APPEND_ITEMS",
    "BEAT",
    "COMMIT",
    "COUNT",
    "DROP_LETTERS",
    "END",
    "ERASE_USER",
    "GIVE",
    "GROUP_LAG",
    "KNOWN",
    "MARK_ERASED",
    "RENEW",
    "TRIM_EVENTS",
    "TRIM_PAIRS",
    "USER_PAGE",
]

_PLACES: Final = """
local function sortable(id)
  local ms, sequence = string.match(id, '^(%d+)%-(%d+)$')
  return string.rep('0', 15 - #ms) .. ms .. '-' .. string.rep('0', 7 - #sequence) .. sequence
end
local function plain(place)
  local ms, sequence = string.match(place, '^0*(%d+)%-0*(%d+)$')
  return ms .. '-' .. sequence
end
"""

_IDS: Final = """
local function known(key, event_id)
  local value = redis.call('HGET', ARGV[1] .. ':ids:' .. key, event_id)
  if value then return string.match(value, '^([^|]*)|(.*)$') end
end
local function count(kind, changes)
  for tenant, change in pairs(changes) do
    if change ~= 0 then
      redis.call('HINCRBY', ARGV[1] .. ':totals', kind .. ':' .. tenant, change)
    end
  end
end
"""

_FORGET: Final = """
local function forget(id, fields, gone)
  local body
  for n = 1, #fields, 2 do if fields[n] == 'event' then body = fields[n + 1] end end
  local read, event = pcall(cjson.decode, body or '')
  if not read or type(event) ~= 'table' or type(event.user_id) ~= 'string' then return end
  local tenant = type(event.tenant) == 'string' and event.tenant or '@DEFAULT@'
  local key = tenant == '@DEFAULT@' and event.user_id or tenant .. '/' .. event.user_id
  if redis.call('ZREM', ARGV[1] .. ':user:' .. key, sortable(id)) == 1 then
    gone[tenant] = (gone[tenant] or 0) - 1
  end
  if type(event.event_id) == 'string' and known(key, event.event_id) == id then
    redis.call('HDEL', ARGV[1] .. ':ids:' .. key, event.event_id)
  end
  local mark = ARGV[1] .. ':erased:' .. key
  if event.event_type == '@ERASE@' and redis.call('GET', mark) == id then
    redis.call('DEL', mark)
  end
end
""".replace("@DEFAULT@", DEFAULT_TENANT).replace("@ERASE@", ERASE)

KNOWN: Final = """
local out = {}
for n = 2, #ARGV, 2 do
  out[#out + 1] = redis.call('HGET', ARGV[1] .. ':ids:' .. ARGV[n], ARGV[n + 1]) or ''
end
return out
"""
"""(key, event id)… → what ``:ids`` has of each, or nothing."""

APPEND: Final = (
    _PLACES
    + _IDS
    + """
local out, added, at = {}, {}, 2
while at <= #ARGV do
  local first, last = at + 1, at + 5 * tonumber(ARGV[at])
  local start, refused = #out, false
  for n = first, last, 5 do
    out[#out + 1] = ''
    local id, fingerprint = known(ARGV[n], ARGV[n + 2])
    if id and fingerprint ~= ARGV[n + 3] then
      out[#out], refused = '!', true
    end
  end
  for n = first, refused and first - 1 or last, 5 do
    local key, tenant, event_id, fingerprint, body = unpack(ARGV, n, n + 4)
    local id = known(key, event_id)
    start = start + 1
    if id then
      out[start] = '=' .. id
    else
      id = redis.call('XADD', KEYS[1], '*', 'event', body, 'checked', fingerprint)
      redis.call('ZADD', ARGV[1] .. ':user:' .. key, 0, sortable(id))
      redis.call('HSET', ARGV[1] .. ':ids:' .. key, event_id, id .. '|' .. fingerprint)
      added[tenant] = (added[tenant] or 0) + 1
      out[start] = '+' .. id
    end
  end
  at = last + 1
end
count('events', added)
return out
"""
)
"""(number of events, (key, tenant, event id, fingerprint, body)…)… → of each event: ``+`` and its
entry id, ``=`` and that of the known one, or ``!`` in conflict; nothing where another of its group
is in conflict."""

ADOPT: Final = (
    _PLACES
    + _IDS
    + """
local out, added = {}, {}
for n = 2, #ARGV, 5 do
  local id, key, tenant, event_id, fingerprint = unpack(ARGV, n, n + 4)
  local mark = redis.call('GET', ARGV[1] .. ':erased:' .. key)
  local first, other
  if fingerprint ~= '' then first, other = known(key, event_id) end
  if mark and sortable(id) < sortable(mark) then
    redis.call('XDEL', KEYS[1], id)
    out[#out + 1] = 'x'
  elseif first and first ~= id then
    out[#out + 1] = other == fingerprint and '=' or '!'
  else
    if fingerprint ~= '' then
      redis.call('HSET', ARGV[1] .. ':ids:' .. key, event_id, id .. '|' .. fingerprint)
    end
    if redis.call('ZADD', ARGV[1] .. ':user:' .. key, 0, sortable(id)) == 1 then
      added[tenant] = (added[tenant] or 0) + 1
    end
    out[#out + 1] = '+'
  end
end
count('events', added)
return out
"""
)
"""(entry id, key, tenant, event id, fingerprint)… of events that others appended → of each: ``+``
taken in, ``=`` known, ``!`` in conflict, ``x`` of a user who was erased since."""

APPEND_ITEMS: Final = (
    _IDS
    + """
local newest, out, added = ARGV[1] .. ':newest', {}, {}
for n = 3, #ARGV, 4 do
  local key, tenant, item_id, body = unpack(ARGV, n, n + 3)
  local value = redis.call('HGET', newest, key)
  local old, deleted
  if value then old, deleted = string.match(value, '^([^|]*)(|?)$') end
  local held = (value and deleted == '') and 1 or 0
  if ARGV[2] == '1' and held == 1 then
    out[#out + 1] = old
  else
    local unsure = (ARGV[2] == '1' and not value) and '1' or ''
    local id = redis.call('XADD', KEYS[1], '*', 'tenant', tenant, 'item_id', item_id,
      'item', body, 'only_unknown', unsure)
    if old then redis.call('XDEL', KEYS[1], old) end
    redis.call('HSET', newest, key, id .. (body == '' and '|' or ''))
    added[tenant] = (added[tenant] or 0) + (body == '' and 0 or 1) - held
    out[#out + 1] = id
  end
end
count('items', added)
return out
"""
)
"""Whether only unknown ones, (key, tenant, item id, body)… → the newest entry id of each item.

What an event brings is marked so where we never heard of the item: the store may know it. Where
it was deleted it is not, as the entry stands for the deletion too."""

USER_PAGE: Final = (
    _PLACES
    + """
local key, after, before, limit = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local index, mark = ARGV[1] .. ':user:' .. key, redis.call('GET', ARGV[1] .. ':erased:' .. key)
if mark and sortable(mark) > after then after = sortable(mark) end
local least, most = '(' .. after, before == '' and '+' or '(' .. before
local places
if ARGV[6] == '1' then
  places = redis.call('ZREVRANGEBYLEX', index, most, least, 'LIMIT', 0, limit)
else
  places = redis.call('ZRANGEBYLEX', index, least, most, 'LIMIT', 0, limit)
end
local out = {}
for n, place in ipairs(places) do
  local id = plain(place)
  out[n] = redis.call('XRANGE', KEYS[1], id, id)[1] or {id}
end
return out
"""
)
"""Key, after, before (places, or nothing), limit, whether from the newest → entries of a user."""

MARK_ERASED: Final = """
local id = redis.call('XADD', KEYS[1], '*', 'event', ARGV[3], 'checked', '')
redis.call('SET', ARGV[1] .. ':erased:' .. ARGV[2], id)
return id
"""
"""Key, body of the mark → its entry id."""

ERASE_USER: Final = (
    _PLACES
    + _IDS
    + _FORGET
    + """
local index, gone = ARGV[1] .. ':user:' .. ARGV[2], {}
local places = redis.call('ZRANGEBYLEX', index, '-', '(' .. sortable(ARGV[3]), 'LIMIT', 0, ARGV[4])
for _, place in ipairs(places) do
  local id = plain(place)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then forget(id, entry[2], gone) end
  redis.call('XDEL', KEYS[1], id)
  redis.call('ZREM', index, place)
end
count('events', gone)
return #places
"""
)
"""Key, entry id of the mark, limit → how many of the user's events before it were deleted."""

TRIM_EVENTS: Final = (
    _PLACES
    + _IDS
    + _FORGET
    + """
if redis.call('GET', ARGV[1] .. ':owner') ~= ARGV[2] then return -1 end
local committed = redis.call('HGET', ARGV[1] .. ':committed', 'events')
if not committed then return 0 end
local now = redis.call('TIME')
local old_ms = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[3])
local old = string.format('%.0f-0', math.max(0, old_ms))
local upto = sortable(old) < sortable(committed) and old or committed
local found = redis.call('XRANGE', KEYS[1], '-', upto, 'COUNT', ARGV[4])
local gone, bytes, dropped = {}, 0, 0
for _, entry in ipairs(found) do
  forget(entry[1], entry[2], gone)
  redis.call('XDEL', KEYS[1], entry[1])
  for n = 2, #entry[2], 2 do bytes = bytes + #entry[2][n] end
  dropped = dropped + 1
  if bytes > tonumber(ARGV[5]) then break end
end
count('events', gone)
return dropped
"""
)
"""Worker, milliseconds to keep, limit, limit of bytes → how many committed events that are older
were dropped; below 0: the lease is another's."""

TRIM_PAIRS: Final = """
if redis.call('GET', ARGV[1] .. ':owner') ~= ARGV[2] then return -1 end
local committed = redis.call('HGET', ARGV[1] .. ':committed', 'pairs')
return committed and redis.call('XTRIM', KEYS[1], 'MINID', committed) or 0
"""
"""Worker → how many committed pairs were dropped; below 0: the lease is another's."""

COMMIT: Final = """
if redis.call('GET', ARGV[1] .. ':owner') ~= ARGV[2] then return 0 end
local group = ARGV[3]
for n = 4, #ARGV, 3 do
  local channel, id, left = unpack(ARGV, n, n + 2)
  local stream, seen = ARGV[1] .. ':' .. channel, {}
  redis.call('HSET', ARGV[1] .. ':committed', channel, id)
  if left ~= '' and redis.call('EXISTS', stream) == 1 then
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do
      if info[i] == 'entries-added' then
        seen = {'ENTRIESREAD', math.max(0, info[i + 1] - tonumber(left))}
      end
    end
  end
  local moved = redis.pcall('XGROUP', 'SETID', stream, group, id, unpack(seen))
  if type(moved) == 'table' and moved.err then
    redis.call('XGROUP', 'CREATE', stream, group, id, 'MKSTREAM', unpack(seen))
  end
end
return 1
"""
"""Worker, group, (channel, entry id, how many come after it or nothing)… → whether the lease is
this worker's. The group only shows what ``:committed`` says; one that is missing is made."""

RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""Worker, milliseconds → whether the lease is this worker's, and goes on."""

GIVE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
"""Worker → whether the lease was this worker's, and is no more."""

BEAT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
"""Worker, milliseconds → all workers that were heard of for so long."""

END: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return '0-0' end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for n = 1, #info, 2 do
  if info[n] == 'last-generated-id' then return info[n + 1] end
end
"""
"""→ the entry id that was given last."""

COUNT: Final = """
local found = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {#found, #found > 0 and found[#found][1] or ARGV[1]}
"""
"""Entry id, limit → how many entries come after it, and the id of the last of them."""

GROUP_LAG: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local told = {}
  for n = 1, #group, 2 do told[group[n]] = group[n + 1] end
  if told['name'] == ARGV[1] then return told['lag'] or -1 end
end
return -1
"""
"""Group → how many entries it has not seen; below 0: the server cannot tell."""

_DROP_LETTER: Final = """
local function drop(entry)
  local told = {}
  for n = 1, #entry[2], 2 do told[entry[2][n]] = entry[2][n + 1] end
  redis.call('HDEL', KEYS[1] .. ':places', told['place'])
  redis.call('HINCRBY', KEYS[1] .. ':totals', told['tenant'], -1)
  redis.call('XDEL', KEYS[1], entry[1])
end
"""

ADD_LETTER: Final = (
    _DROP_LETTER
    + """
local place, tenant = ARGV[2], ARGV[3]
if redis.call('HEXISTS', KEYS[1] .. ':places', place) == 1 then return 0 end
while redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) do
  drop(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1])
end
local id = redis.call('XADD', KEYS[1], '*', 'place', place, 'tenant', tenant, 'user', ARGV[4],
  'reason', ARGV[5], 'event', ARGV[6])
redis.call('HSET', KEYS[1] .. ':places', place, id)
redis.call('HINCRBY', KEYS[1] .. ':totals', tenant, 1)
return 1
"""
)
"""Most, place, tenant, key of the user, reason, event → whether it is new."""

DROP_LETTERS: Final = (
    _DROP_LETTER
    + """
for _, id in ipairs(ARGV) do
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then drop(entry) end
end
"""
)
"""Entry ids → nothing."""
