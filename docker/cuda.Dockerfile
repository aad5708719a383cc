# vcm_mt for NVIDIA GPUs. From the project's root:
#     docker build -f docker/cuda.Dockerfile -t vcm_mt:cuda .
#     docker run --rm -it --gpus all --shm-size 8g -v "$PWD/work_dirs:/vcm_mt/work_dirs" vcm_mt:cuda
# A build sees no GPU: ARCHITECTURES are those that mmcv's ops are compiled for. CUDA's release is
# that of the PyTorch that constraints.txt pins.
FROM nvidia/cuda:12.8.1-devel-ubuntu22.04

ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ git libgl1 libglib2.0-0 make python3.10 python3.10-dev python3.10-venv \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 vcm \
    && install -d -o vcm -g vcm /vcm_mt
USER vcm
WORKDIR /vcm_mt
ENV PIP_NO_CACHE_DIR=1 PATH=/vcm_mt/.venv/bin:$PATH

# What decides the environment alone, so that a change of the sources compiles nothing anew.
COPY --chown=vcm:vcm setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=vcm:vcm tools/dev/bootstrap.py tools/dev/gpu.py tools/dev/
COPY --chown=vcm:vcm vcm_mt/__init__.py vcm_mt/backend.py vcm_mt/compat.py vcm_mt/errors.py \
    vcm_mt/version.py vcm_mt/
ARG ARCHITECTURES="8.0;8.6;8.9;9.0+PTX"
RUN FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST="$ARCHITECTURES" python3.10 tools/dev/bootstrap.py

COPY --chown=vcm:vcm . .
CMD ["python", "tools/benchmarks/check_gpu.py"]
