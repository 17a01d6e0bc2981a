package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// What the file ends with: the programs as tar.gz, 32 bytes that tell this bundle from others, and the archive's length.
const trailer = 32 + 8

// unpack puts the programs where they belong, unless they are there, and returns their folder.
func unpack() (string, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer self.Close()
	end, err := self.Seek(-trailer, io.SeekEnd)
	if err != nil {
		return "", err
	}
	var last [trailer]byte
	if _, err := io.ReadFull(self, last[:]); err != nil {
		return "", err
	}
	folder := filepath.Join(lib, "data", hex.EncodeToString(last[:16]))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", err
	}
	// Everybody but the first waits for it: unpacking is most of the work on a slow machine.
	lock, err := os.Create(filepath.Join(filepath.Dir(folder), ".lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	length := int64(binary.BigEndian.Uint64(last[32:]))
	archive := io.NewSectionReader(self, end-length, length)
	draft, err := os.MkdirTemp(filepath.Dir(folder), ".draft")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(draft)
	if err := extract(archive, draft); err != nil {
		return "", err
	}
	return folder, os.Rename(draft, folder)
}

func extract(archive io.Reader, folder string) error {
	plain, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	for files := tar.NewReader(plain); ; {
		header, err := files.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		path := filepath.Join(folder, filepath.Base(header.Name))
		if header.Typeflag == tar.TypeSymlink {
			err = os.Symlink(header.Linkname, path)
		} else {
			err = write(path, files, header.FileInfo().Mode())
		}
		if err != nil {
			return err
		}
	}
}

func write(path string, content io.Reader, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, content); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
