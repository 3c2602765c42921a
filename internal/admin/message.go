package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// items is the body of a list.
type items[T any] struct {
	Items []T `json:"items"`
}

// failure is the body of an answer that is an error.
type failure struct {
	Error string `json:"error"`
}

// kinds maps the kinds of errors to HTTP's.
var kinds = []struct {
	err    error
	status int
}{
	{ErrInvalid, http.StatusBadRequest},
	{ErrForbidden, http.StatusForbidden},
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusConflict},
}

// RemoteError is an error that the router answered with. It unwraps to one of the package's errors.
type RemoteError struct {
	Message string
	kind    error
}

func (e *RemoteError) Error() string { return e.Message }
func (e *RemoteError) Unwrap() error { return e.kind }

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // a client that went away is nobody's error
}

func list[T any](rows func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		all := rows()
		if all == nil {
			all = []T{} // an empty list, not null
		}
		reply(w, items[T]{Items: all})
	}
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			status = k.status
			break
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{Error: err.Error()})
}

// remoteError reads the error out of an answer.
func remoteError(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return fmt.Errorf("the router answered %s", resp.Status)
	}
	for _, k := range kinds {
		if k.status == resp.StatusCode {
			return &RemoteError{Message: f.Error, kind: k.err}
		}
	}
	return &RemoteError{Message: f.Error}
}
