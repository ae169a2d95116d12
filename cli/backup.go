package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	format "github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/tsdb/backup"
	osfs "github.com/nilometer/nilometer/vfs/os"
)

func newBackup(streams Streams, build Build) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Copy a data directory into a directory or an object store, and back",
		Args:  args(cobra.NoArgs, "nilometer backup create|list|restore|delete"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackupCreate(streams, build), newBackupList(streams), newBackupRestore(streams), newBackupDelete(streams))
	return cmd
}

const placeUsage = "`URL` of the backups: a directory, file:///path or s3://bucket/path"

func newBackupCreate(streams Streams, build Build) *cobra.Command {
	var to string
	s := snapshotSource{streams: streams}
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Back up a data directory, beside a running server or without one",
		Args:  args(cobra.NoArgs, "nilometer backup create --data.dir DIR --to URL"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			bucket, err := openPlace(cmd.Context(), "to", to, true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, bucket.Close()) }()
			if err := s.apart(bucket.dir); err != nil {
				return err
			}
			taken, err := s.take(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, taken.drop()) }()
			taken.about.Program = build.Version
			src, err := osfs.New(taken.dir)
			if err != nil {
				return err
			}
			p := newProgress(streams.Err)
			sum, err := backup.Create(cmd.Context(), backup.Deps{Bucket: bucket, Progress: copying(p)}, src, taken.about)
			p.end()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "backup %s: %s; copied %s, %s were there already\n", sum.Index.Name, contents(sum.Index),
				amount(sum.CopiedFiles, sum.CopiedBytes), amount(sum.KeptFiles, sum.KeptBytes))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.dir, "data.dir", "./data", "`directory` of the data")
	f.StringVar(&to, "to", "", placeUsage)
	f.StringVar(&s.server, "server", "", "`URL` of the server that runs on the data (default: what its lock file says)")
	f.BoolVar(&s.withoutHead, "without-head", false, "leave out what is in no block yet, the samples of the last hours")
	return cmd
}

// copying shows how far a copy has come.
func copying(p *progress) func(backup.Progress) {
	return func(x backup.Progress) {
		p.line("%d of %d files, %s of %s", x.Files, x.FilesTotal, shortBytes(x.Bytes), shortBytes(x.BytesTotal))
	}
}

// contents says what a backup has.
func contents(x format.Index) string {
	out := fmt.Sprintf("%d blocks, %d samples", x.Blocks, x.Samples)
	if !x.Head {
		out += ", without the samples that were in no block yet"
	}
	return out
}

func amount(files int, bytes int64) string {
	return fmt.Sprintf("%d files with %s", files, shortBytes(bytes))
}

func newBackupList(streams Streams) *cobra.Command {
	var from string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the backups in a place",
		Args:  args(cobra.NoArgs, "nilometer backup list --from URL"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			bucket, err := openPlace(cmd.Context(), "from", from, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, bucket.Close()) }()
			all, err := backup.List(cmd.Context(), bucket)
			if asJSON {
				return errors.Join(err, writeBackupsJSON(streams, all))
			}
			w := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "NAME\tCREATED\tBLOCKS\tSAMPLES\tHEAD\tFILES\tSIZE")
			for _, x := range all {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%v\t%d\t%s\n", x.Name, x.Created.Format(time.RFC3339), x.Blocks, x.Samples, x.Head, len(x.Files), shortBytes(x.Bytes()))
			}
			return errors.Join(err, w.Flush())
		},
	}
	cmd.Flags().StringVar(&from, "from", "", placeUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object a line")
	return cmd
}

func writeBackupsJSON(streams Streams, all []format.Index) error {
	enc := json.NewEncoder(streams.Out)
	for _, x := range all {
		err := enc.Encode(map[string]any{
			"name": x.Name, "created": x.Created, "blocks": x.Blocks, "samples": x.Samples, "head": x.Head,
			"files": len(x.Files), "bytes": x.Bytes(), "program": x.Program,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func newBackupRestore(streams Streams) *cobra.Command {
	var dir, from, name string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Make a data directory of a backup",
		Long: `Make a data directory of a backup.

The directory must be empty or missing. A restore that was cut off goes on when
the command is given again. Every file is checked against its checksum.`,
		Args: args(cobra.NoArgs, "nilometer backup restore --data.dir DIR --from URL"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			bucket, err := openPlace(cmd.Context(), "from", from, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, bucket.Close()) }()
			x, err := backup.Read(cmd.Context(), bucket, name)
			if err != nil {
				return fmt.Errorf("restore from %s: %w", from, err)
			}
			dst, err := osfs.New(dir)
			if err != nil {
				return fmt.Errorf("restore to %s: %w", dir, err)
			}
			p := newProgress(streams.Err)
			sum, err := backup.Restore(cmd.Context(), backup.Deps{Bucket: bucket, Progress: copying(p)}, x, dst)
			p.end()
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			_, err = fmt.Fprintf(streams.Out, "restored backup %s to %s: %s; copied %s, %s were there already\n", x.Name, dir, contents(x),
				amount(sum.CopiedFiles, sum.CopiedBytes), amount(sum.KeptFiles, sum.KeptBytes))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "data.dir", "./data", "`directory` of the data, empty or missing")
	f.StringVar(&from, "from", "", placeUsage)
	f.StringVar(&name, "name", "", "`name` of the backup (default: the newest)")
	return cmd
}

func newBackupDelete(streams Streams) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a backup, and the blocks that no other one has",
		Args:  args(cobra.ExactArgs(1), "nilometer backup delete NAME --from URL"),
		RunE: func(cmd *cobra.Command, names []string) (err error) {
			bucket, err := openPlace(cmd.Context(), "from", from, true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, bucket.Close()) }()
			n, err := backup.Delete(cmd.Context(), bucket, names[0])
			if errors.Is(err, backup.ErrNoBackup) {
				if backup.Forget(cmd.Context(), bucket, names[0]) == nil {
					_, err = fmt.Fprintf(streams.Out, "deleted what was left of backup %s, which was cut off\n", names[0])
				}
				return err
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "deleted backup %s: %d files\n", names[0], n)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", placeUsage)
	return cmd
}
