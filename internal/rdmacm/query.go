package rdmacm

import (
	"encoding/binary"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// query tells addresses, paths or GIDs. The order of the errors is the kernel's: a bad ID, a bad option, no room.
func (k *call) query() error {
	var q uapi.UCMQueryReq
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.find(q.ID)
	if err != nil {
		return err
	}
	switch q.Option {
	case uapi.UCMQueryAddr:
		return k.queryAddr(i)
	case uapi.UCMQueryPath:
		return k.queryPath(i)
	case uapi.UCMQueryGID:
		return k.queryGID(i)
	}
	return syscall.ENOSYS
}

func (i *id) nodeGUID() (g [8]byte) {
	binary.BigEndian.PutUint64(g[:], i.m.c.GUID)
	return g
}

func (k *call) queryAddr(i *id) error {
	r := uapi.UCMQueryAddrResp{IBDevIndex: uapi.UCMNoDevIndex}
	if i.device {
		r.NodeGUID, r.PortNum = i.nodeGUID(), 1
	}
	r.SrcSize, r.DstSize = uint16(i.src.Put(r.SrcAddr[:])), uint16(i.dst.Put(r.DstAddr[:]))
	k.answer(r)
	return k.u.Room(uapi.UCMQueryAddrMin)
}

func (k *call) queryGID(i *id) error {
	r := uapi.UCMQueryAddrResp{IBDevIndex: uapi.UCMNoDevIndex}
	var sgid, dgid [16]byte
	if i.device {
		r.NodeGUID, r.PortNum = i.nodeGUID(), 1
		sgid, dgid = i.gids()
	}
	r.SrcSize = uint16(uapi.PutIB(r.SrcAddr[:], sgid, i.service(i.src.Port)))
	r.DstSize = uint16(uapi.PutIB(r.DstAddr[:], dgid, i.service(i.dst.Port)))
	k.answer(r)
	return k.u.Room(uapi.UCMQueryAddrMin)
}

// service is the service ID of a port in the ID's space, as the kernel makes it also where there is none.
func (i *id) service(port uint16) uint64 { return uint64(i.ps)<<16 | uint64(port) }

// gids are ours and the peer's. As long as there is no way to the peer, its GID is that of the address, which has perhaps only a family.
func (i *id) gids() (sgid, dgid [16]byte) {
	if dgid = i.dgid; dgid == [16]byte{} && i.dst.Family == uapi.AFInet {
		dgid[10], dgid[11] = 0xff, 0xff
	}
	return i.sgidAddr, dgid
}

func (k *call) queryPath(i *id) error {
	const head = 8 // num_paths, reserved
	if err := k.u.Room(head); err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(i.paths))
	if i.paths > 0 && k.u.Out-head > uapi.PathDataSize { // more than, as the kernel has it
		b = i.path.AppendData(b)
	}
	k.back.Response = b
	return nil
}

func (k *call) queryRoute() error {
	var q uapi.UCMQueryReq
	if err := k.u.Room(uapi.UCMQueryRouteMin); err != nil {
		return err
	}
	if err := k.u.Decode(&q); err != nil {
		return err
	}
	i, err := k.ch.find(q.ID)
	if err != nil {
		return err
	}
	r := uapi.UCMQueryRouteResp{IBDevIndex: uapi.UCMNoDevIndex}
	i.src.Put(r.SrcAddr[:])
	i.dst.Put(r.DstAddr[:])
	if i.device {
		r.NodeGUID, r.PortNum, r.NumPaths = i.nodeGUID(), 1, uint32(i.paths)
		if i.paths > 0 {
			r.Route[0] = i.path.User()
		} else {
			r.Route[0].SGID, r.Route[0].DGID = i.gids()
			r.Route[0].PKey = [2]byte{0xff, 0xff}
		}
	}
	k.answer(r)
	return nil
}
