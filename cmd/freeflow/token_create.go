package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make and revoke tokens: with which hosts join, and people and programs use the API"}
	cmd.AddCommand(tokenCreateCommand(), tokenRevokeCommand())
	return cmd
}

// tokenSpec is what kind of token is wanted.
type tokenSpec struct {
	role, name, certificate string
	ttl                     time.Duration
	once                    bool
}

func tokenCreateCommand() *cobra.Command {
	var f operatorFlags
	var t tokenSpec
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Print a new token: without --role, one with which hosts join",
		Long: `Print a new token. Without --role it lets hosts join. With a role it is for people and programs, at the web page and at the API:

  viewer     reads
  operator   changes policies and networks, reads all, the audit too
  admin      everything: tokens and hosts too

It is shown this once; only its hash is kept. With --certificate a client certificate of the role is made in its place.`,
		Example: `  freeflow token create
  freeflow router --orchestrator https://10.0.0.1:7470 --join-token TOKEN --host-ip 10.0.0.2

  freeflow token create --role viewer --name grafana --ttl 8760h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.open()
			if err != nil {
				return err
			}
			defer o.Close()
			text, err := t.create(cmd.Context(), o)
			if err != nil {
				return f.explain("token create", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&t.role, "role", "", "the `role` of its holder: viewer, operator or admin (default: a token with which hosts join)")
	flags.StringVar(&t.name, "name", "", "the holder's `name`, for lists and the audit")
	flags.StringVar(&t.certificate, "certificate", "", "make a client certificate in this `directory`, for --credentials")
	flags.DurationVar(&t.ttl, "ttl", 0, fmt.Sprintf("how long it is good (default: %s; of a role: %s)", orchestrator.DefaultTokenTTL, orchestrator.DefaultRoleTTL))
	flags.BoolVar(&t.once, "single-use", false, "for one host only")
	return cmd
}

// create makes the token, and returns what to print.
func (t tokenSpec) create(ctx context.Context, o *cluster.Operator) (string, error) {
	if t.role == "" || t.role == "router" {
		if t.name != "" || t.certificate != "" {
			return "", fmt.Errorf("--name and --certificate go with --role viewer, operator or admin")
		}
		answer, err := o.CreateToken(ctx, connect.NewRequest(&pb.CreateTokenRequest{TtlMs: t.ttl.Milliseconds(), SingleUse: t.once}))
		if err != nil {
			return "", err
		}
		return answer.Msg.Token, nil
	}
	role := pb.Role(pb.Role_value["ROLE_"+strings.ToUpper(t.role)])
	if role == pb.Role_ROLE_UNSPECIFIED || t.once {
		return "", fmt.Errorf("--role %s: want viewer, operator or admin, and not --single-use", t.role)
	}
	request := &pb.CreateCredentialRequest{Role: role, Name: t.name, TtlMs: t.ttl.Milliseconds()}
	if t.certificate != "" {
		return t.sign(ctx, o, request)
	}
	answer, err := o.Access.CreateCredential(ctx, connect.NewRequest(request))
	if err != nil {
		return "", err
	}
	return answer.Msg.Token, nil
}

// sign makes a key here, and has it signed.
func (t tokenSpec) sign(ctx context.Context, o *cluster.Operator, request *pb.CreateCredentialRequest) (string, error) {
	key, err := ca.NewKey()
	if err != nil {
		return "", err
	}
	if request.Csr, err = ca.Request(key); err != nil {
		return "", err
	}
	answer, err := o.Access.CreateCredential(ctx, connect.NewRequest(request))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(t.certificate, 0o700); err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{
		"ca.crt": ca.EncodeCert(answer.Msg.Ca), "client.crt": ca.EncodeCert(answer.Msg.Certificate), "client.key": ca.EncodeKey(key),
	} {
		if err := os.WriteFile(filepath.Join(t.certificate, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("certificate %s in %s, good until %s", answer.Msg.Id, t.certificate, when(answer.Msg.Expires).Local().Format("2006-01-02 15:04")), nil
}

func tokenRevokeCommand() *cobra.Command {
	var f operatorFlags
	cmd := &cobra.Command{
		Use:   "revoke ID...",
		Short: "Make tokens useless, and end what was opened with them",
		Long: `Make tokens and certificates of roles useless at once, with the sessions and streams that they have opened.
freeflow get tokens lists the ids; the first digits are enough.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.open()
			if err != nil {
				return err
			}
			defer o.Close()
			for _, id := range args {
				answer, err := o.Access.RevokeCredential(cmd.Context(), connect.NewRequest(&pb.RevokeCredentialRequest{Id: id}))
				if err != nil {
					return f.explain("token revoke", err)
				}
				c := answer.Msg.Credential
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s of %s %s revoked\n", word(c.Kind, "KIND_"), c.Id, word(c.Role, "ROLE_"), c.Name)
			}
			return nil
		},
	}
	f.register(cmd)
	return cmd
}
