package uapi

import (
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// structs has one of each mirrored struct.
var structs = []any{
	GetContext{}, GetContextResp{}, QueryDevice{}, QueryDeviceResp{}, ExQueryDevice{}, ExQueryDeviceResp{},
	QueryPort{}, QueryPortResp{}, AllocPD{}, AllocPDResp{}, DeallocPD{}, RegMR{}, RegMRResp{}, ReregMR{},
	ReregMRResp{}, DeregMR{}, AllocMW{}, AllocMWResp{}, DeallocMW{}, MMInfo{}, CreateCompChannel{},
	CreateCompChannelResp{}, CreateCQ{}, CreateCQResp{}, ExCreateCQ{}, ExCreateCQResp{}, ResizeCQ{}, ResizeCQResp{},
	DestroyCQ{}, DestroyCQResp{}, ReqNotifyCQ{}, CreateQP{}, ExCreateQP{}, CreateQPResp{}, ExCreateQPResp{}, QPRings{},
	QPDest{}, QueryQP{}, QueryQPResp{}, ModifyQP{}, ExModifyQP{}, ExModifyQPResp{}, DestroyQP{}, DestroyQPResp{},
	PostSend{}, PostSendResp{}, AttachMcast{}, CreateSRQ{}, CreateXSRQ{}, CreateSRQResp{}, SRQRing{}, ModifySRQ{},
	ModifySRQUHW{}, QuerySRQ{}, QuerySRQResp{}, DestroySRQ{}, DestroySRQResp{}, AHAttr{}, CreateAH{}, CreateAHResp{},
	AHNum{}, DestroyAH{},
	UCMCreateIDReq{}, UCMCreateIDResp{}, UCMDestroyIDReq{}, UCMDestroyIDResp{}, UCMMigrateIDReq{}, UCMMigrateIDResp{}, UCMSetOptionReq{},
	UCMNotifyReq{}, UCMBindIPReq{}, UCMBindReq{}, UCMResolveIPReq{}, UCMResolveAddrReq{}, UCMResolveRouteReq{}, UCMJoinIPMcastReq{},
	UCMJoinMcastReq{}, UCMQueryReq{}, UCMQueryAddrResp{}, UCMQueryRouteResp{}, UCMConnParam{}, UCMUDParam{}, UCMECE{}, UCMConnectReq{},
	UCMAcceptReq{}, UCMListenReq{}, UCMRejectReq{}, UCMDisconnectReq{}, UCMInitQPAttrReq{}, QPAttr{}, UCMGetEventReq{}, UCMEventResp{},
	UserPathRec{},
}

// check is one expression for the C compiler and the value that it must have.
type check struct {
	expr string
	want uint64
}

// TestHeaders holds every struct member, command number and ring offset against the headers of the system.
func TestHeaders(t *testing.T) {
	var checks []check
	for _, v := range structs {
		checks = append(checks, structChecks(t, v)...)
	}
	checks = append(checks, constChecks(t)...)
	for i, got := range evaluate(t, checks) {
		if got != checks[i].want {
			t.Errorf("%s is %d here, %d in the headers", checks[i].expr, checks[i].want, got)
		}
	}
}

// structChecks lists size and member offsets of one mirrored struct.
func structChecks(t *testing.T, v any) []check {
	typ := reflect.TypeOf(v)
	c, ok := typ.Field(0).Tag.Lookup("c")
	if !ok || typ.Field(0).Type.Size() != 0 {
		t.Fatalf("%v does not begin with the name of its C struct", typ)
	}
	return append([]check{{fmt.Sprintf("sizeof(struct %s)", c), uint64(binary.Size(v))}}, memberChecks(c, typ, 1, 0)...)
}

// memberChecks walks the fields from the first on; those of an untagged struct are members of the same C struct.
func memberChecks(c string, typ reflect.Type, first int, offset uint64) (checks []check) {
	for i := first; i < typ.NumField(); i++ {
		f := typ.Field(i)
		name, tagged := f.Tag.Lookup("c")
		switch base := strings.HasPrefix(f.Name, "Base"); {
		case tagged:
			checks = append(checks, check{fmt.Sprintf("offsetof(struct %s, %s)", c, name), offset},
				check{fmt.Sprintf("sizeof(((struct %s *)0)->%s)", c, name), sizeOf(f.Type)})
		case base:
			checks = append(checks, check{fmt.Sprintf("offsetof(struct %s, base)", c), offset})
		default:
			checks = append(checks, memberChecks(c, f.Type, 0, offset)...)
		}
		offset += sizeOf(f.Type)
	}
	return checks
}

func sizeOf(t reflect.Type) uint64 { return uint64(binary.Size(reflect.Zero(t).Interface())) }

// constChecks pairs the package's constants with the C expressions of testdata/constants.txt, and demands a line for
// each exported one.
func constChecks(t *testing.T) (checks []check) {
	values := constants(t)
	text, err := os.ReadFile("testdata/constants.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, expr, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		v, ok := values[name]
		if !ok {
			t.Errorf("testdata/constants.txt has %s, the package has not", name)
		}
		delete(values, name)
		if expr = strings.TrimSpace(expr); expr != "-" {
			checks = append(checks, check{expr, v})
		}
	}
	for name := range values {
		if ast.IsExported(name) {
			t.Errorf("testdata/constants.txt has no line for %s", name)
		}
	}
	return checks
}

// constants gives the package's integer constants by their source.
func constants(t *testing.T) map[string]uint64 {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]uint64{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
				for i, id := range spec.Names {
					if v, ok := constant(spec.Values[i], values); ok {
						values[id.Name] = v
					}
				}
			}
			return true
		})
	}
	return values
}

// constant evaluates what this package's constants are made of: literals, names, and three operators.
func constant(e ast.Expr, known map[string]uint64) (uint64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v, err := strconv.ParseUint(e.Value, 0, 64)
		return v, err == nil
	case *ast.Ident:
		if e.Name == "FlagExtended" {
			return uint64(FlagExtended), true
		}
		v, ok := known[e.Name]
		return v, ok
	case *ast.BinaryExpr:
		x, okX := constant(e.X, known)
		y, okY := constant(e.Y, known)
		switch e.Op {
		case token.OR:
			return x | y, okX && okY
		case token.ADD:
			return x + y, okX && okY
		case token.SHL:
			return x << y, okX && okY
		}
	}
	return 0, false
}

// evaluate has a C program print the checks' expressions.
func evaluate(t *testing.T, checks []check) []uint64 {
	var src strings.Builder
	src.WriteString("#include <stddef.h>\n#include <stdio.h>\n#include <rdma/rdma_user_rxe.h>\n" +
		"#include <rdma/ib_user_verbs.h>\n#include <rdma/ib_user_ioctl_verbs.h>\n#include <rdma/rdma_user_cm.h>\n#include <sys/socket.h>\nint main(void)\n{\n")
	for _, c := range checks {
		fmt.Fprintf(&src, "\tprintf(\"%%llu\\n\", (unsigned long long)(%s));\n", c.expr)
	}
	src.WriteString("\treturn 0;\n}\n")
	dir := t.TempDir()
	c, bin := filepath.Join(dir, "abi.c"), filepath.Join(dir, "abi")
	if err := os.WriteFile(c, []byte(src.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", "-o", bin, c).CombinedOutput(); err != nil {
		t.Fatalf("cannot ask the kernel's headers: %v: install linux-libc-dev gcc\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	values := make([]uint64, len(checks))
	for i := range checks {
		if values[i], err = strconv.ParseUint(fields[i], 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return values
}
