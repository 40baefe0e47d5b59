"""Which photographs a folder or zip holds, and the class of each."""

import os
import shlex
import stat
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from handgrad.data.source import classes_of, open_source
from handgrad.errors import DataError

FLAT = ["cat.0.jpg", "cat.1.JPG", "dog.0.jpeg", "dog.1.png"]
LINK = "a link: not followed; put the files themselves in its place"
FOLDERS = ["cat/1.jpg", "cat/more/2.gif", "dog/3.webp", "dog/4.bmp"]


@pytest.fixture(params=["folder", "zip"])
def source_of(request, tmp_path):
    """Makes a folder, or a zip, with files of these names."""

    def make(names):
        if request.param == "zip":
            with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
                for name in names:
                    archive.writestr(name, name)
            return tmp_path / "source.zip"
        for name in names:
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        (tmp_path / "source").mkdir(exist_ok=True)
        return tmp_path / "source"

    return make


def found_in(source, positive=None):
    with open_source(source, positive) as found:
        return {file.name: file.class_name for file in found.files}, {s.name: s.reason for s in found.skipped}


def test_in_a_flat_folder_the_class_is_the_name_up_to_the_first_dot(source_of):
    classes, skipped = found_in(source_of(FLAT))
    assert classes == {"cat.0.jpg": "cat", "cat.1.JPG": "cat", "dog.0.jpeg": "dog", "dog.1.png": "dog"}
    assert skipped == {}


def test_with_subfolders_the_class_is_the_subfolder_however_deep_the_file(source_of):
    classes, skipped = found_in(source_of(FOLDERS))
    assert classes == {"cat/1.jpg": "cat", "cat/more/2.gif": "cat", "dog/3.webp": "dog", "dog/4.bmp": "dog"}
    assert skipped == {}


@pytest.mark.parametrize("layout", [FLAT, FOLDERS], ids=["flat", "subfolders"])
@pytest.mark.parametrize("around", ["train/", "a/b/"])
def test_folders_around_all_photographs_are_seen_through(source_of, layout, around):
    classes, _ = found_in(source_of([around + name for name in layout] + ["readme.txt"]))
    assert set(classes.values()) == {"cat", "dog"}
    assert set(classes) == {around + name for name in layout}


def test_what_a_file_holds_can_be_read(source_of):
    with open_source(source_of(FLAT)) as found:
        for file in found.files:
            with file.open() as opened:
                assert opened.read().decode() == file.name


def test_files_come_in_order_of_name(source_of):
    with open_source(source_of(FLAT[::-1])) as found:
        assert [file.name for file in found.files] == sorted(FLAT)
        assert found.classes == ("cat", "dog")


def test_dot_files_and_dot_folders_are_ignored_at_any_depth(source_of):
    hidden = [".DS_Store", "._cat.0.jpg", ".thumbs/bird/1.jpg", "__MACOSX/cat.0.jpg"]
    assert found_in(source_of(FLAT + hidden)) == found_in(source_of(FLAT))


def test_other_files_are_skipped_with_a_reason(source_of):
    _, skipped = found_in(source_of([*FLAT, "notes.txt", "cat.0.jpg.part", "cat.jpg"]))
    assert skipped == {
        "notes.txt": "not named as an image",
        "cat.0.jpg.part": "not named as an image",
        "cat.jpg": "no class in its name",
    }


def test_links_and_pipes_are_skipped_and_never_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "bird").mkdir(parents=True)
    (elsewhere / "bird" / "1.jpg").write_text("bird")
    source = tmp_path / "source"
    source.mkdir()
    for name in FLAT:
        (source / name).write_text(name)
    (source / "cat.2.jpg").symlink_to(source / "cat.0.jpg")
    (source / "bird").symlink_to(elsewhere / "bird")
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "cat.3.jpg")
    classes, skipped = found_in(source)
    assert sorted(classes) == sorted(FLAT)
    assert skipped.pop("cat.3.jpg") == "not a regular file"
    assert skipped == dict.fromkeys(["bird", "cat.2.jpg", "loop"], LINK)


@pytest.mark.parametrize("linked", ["dog", "cat/1.jpg"])
def test_where_a_link_hides_a_class_the_error_says_so_and_what_to_type(tmp_path, linked):
    for name in "pool/dog/1.jpg", "source/cat/2.jpg":
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "source" / linked).symlink_to(tmp_path / "pool" / "dog")
    if linked != "dog":
        (tmp_path / "source" / "cat" / "2.jpg").unlink()
    with pytest.raises(
        DataError, match=rf"found .*; {linked} is a link, .* cp -rL \S*source COPY; handgrad prepare COPY"
    ):
        found_in(tmp_path / "source")


def test_a_link_to_the_source_itself_is_followed(tmp_path, source_of):
    link = tmp_path / "link"
    link.symlink_to(source_of(FLAT))
    assert len(found_in(link)[0]) == 4


def test_a_link_in_a_zip_is_skipped(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in FLAT:
            archive.writestr(name, name)
        link = zipfile.ZipInfo("cat.9.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert found_in(tmp_path / "a.zip")[1] == {"cat.9.jpg": LINK}


def test_a_name_in_a_zip_that_leads_outside_is_ignored(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in [
            *FLAT,
            "../cat.7.jpg",
            "/abs/../cat.8.jpg",
            "/cat.0.jpg",
            "c:/cat.9.jpg",
            "C:\\cat.9.jpg",
            "cat/..",
        ]:
            archive.writestr(name, name)
    classes, skipped = found_in(tmp_path / "a.zip")
    assert sorted(classes) == sorted(FLAT)
    assert list(skipped.values()) == ["its name leads out of the zip"] * 6


@pytest.mark.parametrize("prefix", ["2013-06-01 12:30/", "a:b/", "12:", "photographs: all/"])
def test_a_colon_in_a_name_is_no_drive(source_of, prefix):
    names = [prefix + name for name in FLAT]
    classes, skipped = found_in(source_of(names))
    assert (sorted(classes), skipped) == (sorted(names), {})


@pytest.mark.parametrize("again", ["cat/1.jpg", "./cat/1.jpg", "cat\\1.jpg", "cat//1.jpg"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_a_name_that_is_twice_in_a_zip_the_last_counts_and_the_other_is_listed(tmp_path, again):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in [*FOLDERS, again]:
            archive.writestr(name, f"{name} {len(archive.namelist())}")
    with open_source(tmp_path / "a.zip") as found:
        assert len(found.files) == 4
        assert [skipped.reason for skipped in found.skipped] == ["twice in the zip; the last counts"]
        contents = [file.open().read() for file in found.files]
        assert f"{again} 4".encode() in contents


def test_a_name_that_cannot_be_printed_is_escaped(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in [b"cat.\n.jpg", b"cat.\xff.jpg", b"dog.0.jpg"]:
        (source / os.fsdecode(name)).write_bytes(b"")
    classes, _ = found_in(source)
    assert sorted(classes) == ["cat.\\n.jpg", "cat.\\udcff.jpg", "dog.0.jpg"]


@pytest.mark.parametrize("names", [[], ["readme.txt"], [".cat.0.jpg"]])
def test_without_photographs_the_error_tells_both_layouts(source_of, names):
    with pytest.raises(DataError, match=r"found no photographs.*cat\.0\.jpg dog\.0\.jpg.*one subfolder"):
        found_in(source_of(names))


def test_without_a_class_in_any_name_the_error_tells_both_layouts(source_of):
    with pytest.raises(DataError, match=r"found no class.*one subfolder"):
        found_in(source_of(["1.jpg", "2.jpg"]))


@pytest.mark.parametrize("names", [["cat.0.jpg", "cat.1.jpg"], ["cat/1.jpg", "cat/2.jpg"]])
def test_one_class_is_an_error_that_lists_it(source_of, names):
    with pytest.raises(DataError, match=r"found 1 class: cat \(2\); expected exactly two"):
        found_in(source_of(names))


def test_three_classes_are_an_error_that_lists_them(source_of):
    with pytest.raises(DataError, match=r"found 3 classes: bird \(1\), cat \(2\), dog \(2\); expected exactly two"):
        found_in(source_of([*FLAT, "bird.0.jpg"]))


def test_of_many_classes_the_first_ten_are_listed(source_of):
    with pytest.raises(DataError, match=r"found 25 classes: c00 \(1\), .*c09 \(1\) and 15 more; expected"):
        found_in(source_of([f"c{i:02}/1.jpg" for i in range(25)]))


def test_photographs_beside_and_in_subfolders_are_an_error(source_of):
    with pytest.raises(DataError, match="both beside the subfolders and in them"):
        found_in(source_of(["cat.0.jpg", "dog/1.jpg"]))


def files(folders, inside):
    return [f"{folder}/{name}" for folder in folders for name in inside]


PREFIXES = ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"]
NUMBERS = ["001.jpg", "002.jpg"]
SPLITS = {
    "a class missing": ["train/cat/1.jpg", "train/dog/1.jpg", "validation/cat/2.jpg"],
    "Kaggle": [*files(["train"], PREFIXES), *files(["test1"], NUMBERS)],
    "capitals": files(["Train", "Test"], PREFIXES),
    "sets": files(["training_set", "test_set"], NUMBERS),
    "sets in one word": files(["trainset", "testset"], NUMBERS),
    "development": files(["train", "dev"], NUMBERS),
    "domains": files(["trainA", "testA"], NUMBERS),
    "four": files(["trainA", "trainB", "testA", "testB"], NUMBERS),
    "three": files(["train", "val", "test"], ["cat/1.jpg", "dog/1.jpg"]),
    "years": files(["train2014", "val2014"], NUMBERS),
    "at the end": files(["cats_train", "cats-test"], NUMBERS),
    "any names, of folders": files(["a", "b"], ["cat/1.jpg", "dog/1.jpg"]),
    "any names, of folders, one lacks a class": [*files(["a", "b"], ["cat/1.jpg", "dog/1.jpg"]), "a/bird/1.jpg"],
    "any names, of prefixes": files(["left", "right"], PREFIXES),
    "any names, once more wrapped": files(["a/x", "b/y"], ["cat/1.jpg", "dog/1.jpg"]),
    "any names, of classes that are numbers": files(["site 1", "site 2"], ["0/1.jpg", "1/1.jpg"]),
}


@pytest.mark.parametrize("around", ["", "archive/"])
@pytest.mark.parametrize("names", SPLITS.values(), ids=SPLITS)
def test_splits_and_sources_are_not_taken_for_classes(tmp_path, source_of, names, around):
    source = source_of([around + name for name in names])
    with pytest.raises(
        DataError, match=r"\(\d.*\), which .*, and no classes; give one of them: .*handgrad prepare "
    ) as caught:
        found_in(source)
    unpacked = tmp_path / "FOLDER" if source.is_file() else source
    if source.is_file():
        assert f"unzip {source} -d FOLDER; " in str(caught.value)
        zipfile.ZipFile(source).extractall(unpacked)
    *_, folder, data = shlex.split(str(caught.value).split("; if they are")[0])
    assert (tmp_path / folder).is_dir()
    assert data == "DATA"
    if any("train" in name.lower() for name in names):
        assert "train" in Path(folder).name.lower()


def test_what_splits_hold_is_named_and_named_as_positive_they_are_classes(source_of):
    source = source_of(SPLITS["any names, of prefixes"])
    with pytest.raises(DataError, match=r"left \(4\), right \(4\), which all hold cat, dog: .* --positive right$"):
        found_in(source)
    classes, _ = found_in(source, "left")
    assert set(classes.values()) == {"left", "right"}


CLASSES = {
    "numbered alike": files(["cat", "dog"], NUMBERS),
    "numbered alike, with more dots": files(
        ["cat", "dog"], ["001.small.jpg", "002.small.jpg", "img1.a.jpg", "img2.a.jpg"]
    ),
    "one prefix": files(["cat", "dog"], ["photo.1.jpg", "photo.2.jpg"]),
    "a prefix each": ["cat/cat.1.jpg", "cat/cat.2.jpg", "dog/dog.1.jpg"],
    "one subfolder": files(["cat", "dog"], ["images/1.jpg", "images/2.jpg"]),
    "splits inside": files(["cat", "dog"], ["train/1.jpg", "test/2.jpg"]),
    "one named as a split": files(["test", "dog"], NUMBERS),
    "domains": files(["trainA", "trainB"], NUMBERS),
    "words with a split's letters": files(["valid", "invalid"], NUMBERS),
    "more such words": files(["testament", "training-shoe"], NUMBERS),
}


@pytest.mark.parametrize("names", CLASSES.values(), ids=CLASSES)
def test_classes_are_not_taken_for_splits(source_of, names):
    classes, skipped = found_in(source_of(names))
    assert (set(classes.values()), skipped) == ({name.split("/")[0] for name in names}, {})


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("layout", ["{}.{}.jpg", "{}/{}.jpg"])
def test_an_accent_written_in_two_ways_is_one_class(source_of, layout):
    names = [layout.format(name, i) for i, name in enumerate([COMPOSED, DECOMPOSED, "the"])]
    classes, _ = found_in(source_of(names))
    assert classes == dict(zip(names, [COMPOSED, COMPOSED, "the"], strict=True))


def test_an_accent_written_in_two_ways_is_one_folder_around_all(source_of):
    classes, _ = found_in(source_of([f"{COMPOSED}/cat/1.jpg", f"{DECOMPOSED}/dog/1.jpg"]))
    assert set(classes.values()) == {"cat", "dog"}


@pytest.mark.parametrize("others", [[], ["1.jpg"], ["all.1.jpg"]], ids=["no photograph", "no class", "one class"])
@pytest.mark.parametrize("inner", ["train.zip", "data 1/TRAIN.ZIP"])
def test_a_zip_inside_is_named_with_what_to_type(source_of, inner, others):
    source = source_of(["sampleSubmission.csv", "test1.zip", inner, *others])
    with pytest.raises(DataError) as caught:
        found_in(source)
    place = f"FOLDER/{inner}" if source.is_file() else str(source / inner)
    assert f"{inner} is a zip of its own; give that: " in str(caught.value)
    assert str(caught.value).endswith(f"handgrad prepare {shlex.quote(place)} DATA")
    assert (f"unzip {source} -d FOLDER; " in str(caught.value)) == source.is_file()


def test_a_file_that_is_no_zip_is_an_error(tmp_path):
    path = tmp_path / "photographs.tar"
    path.write_text("no zip")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        found_in(path)


def test_names_alone_decide_the_layout():
    assert classes_of(["cat.0.jpg", "plain.jpg"]) == ["cat", None]
    assert classes_of(["cat/1.jpg", "dog/1.jpg"]) == ["cat", "dog"]
    assert classes_of(["all/cat/1.jpg", "all/dog/1.jpg"]) == ["cat", "dog"]
    assert classes_of(["cat/1.jpg"]) == ["cat"]
    assert classes_of(["cat.0.jpg", "dog/1.jpg"]) is None


class _Refused:
    """A folder's entry on a disk that does not say what it is."""

    name = "cat.9.jpg"

    def is_dir(self, follow_symlinks):
        raise PermissionError(13, "Permission denied")


def test_what_the_disk_does_not_tell_of_is_skipped_and_named(tmp_path, monkeypatch):
    """Root may read whatever its permissions are, so the system is made to refuse."""
    for name in FLAT:
        (tmp_path / name).write_text(name)
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return nullcontext([*real(path), _Refused()])

    monkeypatch.setattr("os.scandir", scandir)
    classes, skipped = found_in(tmp_path)
    assert set(classes) == set(FLAT)
    assert skipped == {
        "locked/": "cannot be listed: Permission denied",
        "cat.9.jpg": "cannot be read: Permission denied",
    }


def test_folders_of_a_zip_are_no_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.mkdir("cat")
        for name in FOLDERS:
            archive.writestr(name, name)
    classes, skipped = found_in(tmp_path / "source.zip")
    assert (set(classes), skipped) == (set(FOLDERS), {})
