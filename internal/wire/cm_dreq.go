package wire

// Bytes of private data in the messages that end a connection.
const (
	CMDReqPrivateSize = 220
	CMDRepPrivateSize = 224
)

// CMDReq is a DREQ, Request for Communication Release (12.6.10): two communication IDs, the receiver's QPN in the first 24 bits from
// byte 8 on, and private data from byte 12 on.
type CMDReq struct {
	CMIDs
	RemoteQPN uint32
	Private   []byte
}

// Parse fills q.
func (q *CMDReq) Parse(m MAD) {
	d := m.Data()
	q.parse(d)
	q.RemoteQPN, q.Private = get24(d[8:]), d[12:]
}

// Put writes q.
func (q *CMDReq) Put(m MAD) {
	d := m.cmData()
	q.put(d)
	put24(d[8:], q.RemoteQPN)
	copy(d[12:], q.Private)
}

// CMDRep is a DREP, Reply to Request for Communication Release (12.6.11): two communication IDs, and private data from byte 8 on.
type CMDRep struct {
	CMIDs
	Private []byte
}

// Parse fills p.
func (p *CMDRep) Parse(m MAD) {
	p.parse(m.Data())
	p.Private = m.Data()[8:]
}

// Put writes p.
func (p *CMDRep) Put(m MAD) {
	d := m.cmData()
	p.put(d)
	copy(d[8:], p.Private)
}
