package ring

// storeRelease stores v after everything that was stored before. On amd64 every store is a release; the exchange that
// sync/atomic makes of one would wait until the cache line has come over from the program's core.
func storeRelease(p *uint32, v uint32) { *p = v }
