package uapi

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
)

// shape has the structs of a command: its core request and response, and its driver data.
type shape struct{ req, resp, uhwIn, uhwOut any }

var shapes = map[Cmd]shape{
	CmdGetContext:        {req: GetContext{}, resp: GetContextResp{}},
	CmdQueryDevice:       {req: QueryDevice{}, resp: QueryDeviceResp{}},
	CmdQueryPort:         {req: QueryPort{}, resp: QueryPortResp{}},
	CmdAllocPD:           {req: AllocPD{}, resp: AllocPDResp{}},
	CmdDeallocPD:         {req: DeallocPD{}},
	CmdCreateAH:          {req: CreateAH{}, resp: CreateAHResp{}, uhwOut: AHNum{}},
	CmdDestroyAH:         {req: DestroyAH{}},
	CmdRegMR:             {req: RegMR{}, resp: RegMRResp{}},
	CmdReregMR:           {req: ReregMR{}, resp: ReregMRResp{}},
	CmdDeregMR:           {req: DeregMR{}},
	CmdAllocMW:           {req: AllocMW{}, resp: AllocMWResp{}},
	CmdDeallocMW:         {req: DeallocMW{}},
	CmdCreateCompChannel: {req: CreateCompChannel{}, resp: CreateCompChannelResp{}},
	CmdCreateCQ:          {req: CreateCQ{}, resp: CreateCQResp{}, uhwOut: MMInfo{}},
	CmdResizeCQ:          {req: ResizeCQ{}, resp: ResizeCQResp{}, uhwOut: MMInfo{}},
	CmdDestroyCQ:         {req: DestroyCQ{}, resp: DestroyCQResp{}},
	CmdReqNotifyCQ:       {req: ReqNotifyCQ{}},
	CmdCreateQP:          {req: CreateQP{}, resp: CreateQPResp{}, uhwOut: QPRings{}},
	CmdQueryQP:           {req: QueryQP{}, resp: QueryQPResp{}},
	CmdModifyQP:          {req: ModifyQP{}},
	CmdDestroyQP:         {req: DestroyQP{}, resp: DestroyQPResp{}},
	CmdPostSend:          {req: PostSend{}, resp: PostSendResp{}},
	CmdAttachMcast:       {req: AttachMcast{}},
	CmdDetachMcast:       {req: AttachMcast{}},
	CmdCreateSRQ:         {req: CreateSRQ{}, resp: CreateSRQResp{}, uhwOut: SRQRing{}},
	CmdModifySRQ:         {req: ModifySRQ{}, uhwIn: ModifySRQUHW{}},
	CmdQuerySRQ:          {req: QuerySRQ{}, resp: QuerySRQResp{}},
	CmdDestroySRQ:        {req: DestroySRQ{}, resp: DestroySRQResp{}},
	CmdCreateXSRQ:        {req: CreateXSRQ{}, resp: CreateSRQResp{}, uhwOut: SRQRing{}},
	CmdExQueryDevice:     {req: ExQueryDevice{}, resp: ExQueryDeviceResp{}},
	CmdExCreateCQ:        {req: ExCreateCQ{}, resp: ExCreateCQResp{}, uhwOut: MMInfo{}},
	CmdExCreateQP:        {req: ExCreateQP{}, resp: ExCreateQPResp{}, uhwOut: QPRings{}},
	CmdExModifyQP:        {req: ExModifyQP{}, resp: ExModifyQPResp{}},
}

// decoded gives a pointer to a struct like sample, filled from b.
func decoded(b []byte, sample any) (any, error) {
	v := reflect.New(reflect.TypeOf(sample)).Interface()
	return v, decode(b, v)
}

// text writes a struct as name=value of the members that are not zero.
func text(v any) string {
	var out []string
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Tag.Get("c")
			switch {
			case v.Type().Field(i).Name == "_" || f.IsZero():
			case f.Kind() == reflect.Struct && name == "":
				walk(prefix, f)
			case f.Kind() == reflect.Struct:
				walk(prefix+name+".", f)
			case f.Kind() == reflect.Array:
				out = append(out, prefix+name+"="+hex.EncodeToString(f.Slice(0, f.Len()).Bytes()))
			default:
				out = append(out, fmt.Sprintf("%s%s=%#x", prefix, name, f.Interface()))
			}
		}
	}
	walk("", reflect.Indirect(reflect.ValueOf(v)))
	if len(out) == 0 {
		return "all zero"
	}
	return strings.Join(out, " ")
}
