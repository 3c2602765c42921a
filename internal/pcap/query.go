package pcap

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
)

// Query is what is asked of the router: GET /v1/capture?addr=IP&addr=IP&qp=QPN&count=N, all of it optional.
type Query struct {
	Filter
	Count uint64 // ends after so many packets; 0: with the connection
}

const maxAddrs = 64 // of a query; a container has two or three

func (q *Query) values() url.Values {
	v := url.Values{}
	for _, a := range q.Addrs {
		v.Add("addr", a.String())
	}
	if q.QPN != 0 {
		v.Set("qp", strconv.FormatUint(uint64(q.QPN), 10))
	}
	if q.Count != 0 {
		v.Set("count", strconv.FormatUint(q.Count, 10))
	}
	return v
}

func parseQuery(v url.Values) (q Query, err error) {
	if len(v["addr"]) > maxAddrs {
		return q, fmt.Errorf("more than %d addresses", maxAddrs)
	}
	for _, s := range v["addr"] {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return q, fmt.Errorf("addr: %w", err)
		}
		q.Addrs = append(q.Addrs, a.Unmap().WithZone(""))
	}
	qpn, err := number(v.Get("qp"), 24)
	if err != nil {
		return q, fmt.Errorf("qp: %w", err)
	}
	q.QPN = uint32(qpn)
	if q.Count, err = number(v.Get("count"), 64); err != nil {
		return q, fmt.Errorf("count: %w", err)
	}
	return q, nil
}

func number(s string, bits int) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.ParseUint(s, 10, bits)
}
