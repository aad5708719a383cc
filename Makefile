# Every habit of this project. Each target that needs the environment makes it first; that is
# done once, and again when constraints.txt or setup.cfg change.

# The Python that .venv is made of: the first that starts, the one that the tests ran on first.
PYTHON ?= $(or $(shell for python in python3.11 python3.12 python3.10; do \
	$$python -c "" 2>/dev/null && echo $$python && break; done),python3)
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format fuzz bench-codec bench-photo bench-bitstreams \
	bench-context bench-live bench-light bench-precision bench-train check-gpu kill-test determinism bench-rp bench-photos bench-video bench-tasks report docs zoo clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## */\t/' \
		| awk -F '\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

setup:  ## make the environment in .venv (about 15 minutes, once); TORCH=cpu: see docs/setup.md
	@$(PYTHON) tools/dev/bootstrap.py $(if $(TORCH),--torch $(TORCH)) $(if $(INDEX),--index $(INDEX))

demo: setup  ## the whole chain on the embedded set, in minutes
	$(RUN) tools/demo.py

test: setup  ## the tests, slow ones left out
	$(RUN) -m pytest

test-slow: setup  ## the slow tests alone
	$(RUN) -m pytest -m slow

lint: setup  ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: setup  ## put the sources into ruff's format
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .

fuzz: setup  ## 100,000 damaged streams: refused, or harmless
	$(RUN) tools/benchmarks/fuzz.py

bench-codec: setup  ## our coder's speed beside CompressAI's, and what it costs
	$(RUN) tools/benchmarks/bench_codec.py

bench-photo: setup  ## bytes and milliseconds of a photograph, beside VVC, HEVC, JPEG and CompressAI
	$(RUN) tools/benchmarks/bench_photo.py

bench-live: setup  ## a live video of an hour's pictures: memory and the longest picture (20 minutes)
	$(RUN) tools/benchmarks/bench_live.py

bench-prior: setup  ## the temporal prior beside other designs of it (ten minutes)
	$(RUN) -m vcm_mt prepare videos
	$(RUN) tools/benchmarks/bench_prior.py --transmitter zoo://photos_det --joint 150

bench-context: setup  ## autoregressive codecs: wavefronts beside CompressAI
	$(RUN) tools/benchmarks/bench_context.py

bench-train: setup  ## a training step beside the plain composition of CompressAI and mmdet
	$(RUN) tools/prepare_mini.py
	$(RUN) tools/benchmarks/bench_train.py

kill-test: setup  ## 30 kills of a training, some while a checkpoint is written
	$(RUN) tools/benchmarks/kill_test.py

determinism: setup  ## decode under every setting, and under another PyTorch, what one encoded
	$(RUN) tools/prepare_mini.py
	$(RUN) tools/benchmarks/determinism.py --torch 2.9.1

bench-precision: setup  ## --amp on processors with and without bfloat16, in ratios to float32
	$(RUN) tools/prepare_mini.py
	$(RUN) tools/benchmarks/bench_precision.py

bench-bitstreams: setup  ## stage 2 from pictures and from bitstreams (after `make demo`)
	$(RUN) tools/benchmarks/bench_bitstreams.py work_dirs/demo/stage1_det/q2
	$(RUN) tools/benchmarks/bench_bitstreams.py --size 192 320

bench-light: setup  ## LoRA and adapter receivers beside full ones (after `make demo`)
	$(RUN) tools/benchmarks/bench_light.py work_dirs/demo/stage1_det/q3

bench-rp: setup  ## curves and BD-rates on the embedded set, into docs/results (some three hours)
	$(RUN) tools/demo.py --long
	cd work_dirs/bench_rp && cp rp_*.png rp_table.md rp_points.npz rp_points.csv seeds.* bd_rate.json results.json receivers.jpg ../../docs/results/mini/
	$(RUN) tools/dev/result_pages.py
	$(RUN) tools/dev/metafiles.py

bench-photos: setup  ## the same on photographs of COCO, into docs/results/photos (hours; needs data/photos)
	$(RUN) -m vcm_mt experiment configs/experiments/photos.py
	cd work_dirs/experiments/photos && cp rp_*.png rp_table.md rp_points.npz rp_points.csv bd_rate.json results.json anchors.json.xz ../../../docs/results/photos/

bench-video: setup  ## tracking and detection on the embedded videos, into docs/results/video (an hour)
	$(RUN) -m vcm_mt prepare videos
	$(RUN) -m vcm_mt experiment configs/experiments/video.py
	mkdir -p docs/results/video
	cd work_dirs/experiments/video && cp rp_curve.png rp_det_mAP.png rp_byte_HOTA.png rp_psnr.png rp_table.md rp_points.npz rp_points.csv bd_rate.json results.json savings.json ../../../docs/results/video/

bench-tasks: setup  ## one codec and the receivers of seven tasks on all embedded sets, into docs/results/tasks (an hour)
	for set in mini videos figures motions; do $(RUN) -m vcm_mt prepare $$set || exit; done
	$(RUN) -m vcm_mt experiment configs/experiments/tasks.py
	mkdir -p docs/results/tasks
	cd work_dirs/experiments/tasks && cp bd_rate.json scores.json table.md ../../../docs/results/tasks/ && for part in */rp_curve.png; do cp $$part ../../../docs/results/tasks/$$(dirname $$part).png; done

report: setup  ## the page of docs/results/mini, made from its points, into work_dirs/report
	mkdir -p work_dirs/report && cp docs/results/mini/rp_* work_dirs/report/
	$(RUN) tools/report.py work_dirs/report --title "R-P curves of the embedded set"

docs: setup  ## the documentation site, into docs/_build
	$(RUN) tools/dev/result_pages.py
	$(RUN) -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

check-gpu: setup  ## all that wants a GPU, in at most 25 minutes, into docs/results/gpu
	$(RUN) tools/benchmarks/check_gpu.py

zoo: setup  ## train the networks of vcm_mt/zoo anew (hours)
	$(RUN) tools/dev/make_zoo.py

clean:  ## remove caches and build outputs; .venv, data and work_dirs stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find configs tests tools vcm_mt -name __pycache__ -prune -exec rm -rf {} +
