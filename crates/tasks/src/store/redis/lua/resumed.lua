-- ARGV: the queue whose pause began or ended.
call('SADD', S .. 'queues', ARGV[1])
woken[ARGV[1]] = true
tell()
return 1
