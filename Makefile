# EdgeGlyph: from labeled characters to a classifier on a board. `make help` explains.

DATA    ?= synthetic
PRESET  ?= quick
BOARD   ?= host
OUT     ?= build
NAME    ?= chars
FROM    ?= models/scene62
PYTHON  ?= python3
TENSORFLOW ?= train

VENV := .venv
PY   := $(VENV)/bin/python
INSTALLED := $(VENV)/installed-$(TENSORFLOW)
STAMPS := $(OUT)/.stamps
BUNDLE := $(OUT)/$(NAME)$(if $(filter-out host,$(BOARD)),-$(BOARD)).egb
SHIPPED := models/scene62/scene62.egb
RUNTIME := edge_runtime/cpp/build/$(BOARD)
CXX_GIVEN := $(if $(filter default undefined,$(origin CXX)),,$(CXX))
SECONDS ?= 60
CORE    ?= core128

# What a data or training stage may be told beyond a preset.
settings = $(foreach setting,$(1),--set "$(setting)")
DATA_OPTIONS = --preset "$(PRESET)" --source "$(DATA)" --output "$(OUT)" \
	$(if $(UNLABELED),--unlabeled "$(UNLABELED)") $(if $(PHOTOGRAPHS),--photographs "$(PHOTOGRAPHS)") $(if $(CACHE),--cache "$(CACHE)") \
	$(if $(ALPHABET),--alphabet "$(ALPHABET)",$(if $(ADAPTING),--alphabet-of-labels)) \
	$(if $(SKIP_UNREADABLE),--skip-unreadable) \
	$(if $(PROTOCOL),--protocol "$(PROTOCOL)") $(if $(LABELS),--labels-per-class "$(LABELS)") \
	$(call settings,$(SET))
# Given images are learned from where drawn characters lead: minutes come close to an hour from random weights
# (docs/training.md). START= is without; so are drawn characters alone and other channels than that model's.
START ?= $(if $(filter-out synthetic,$(DATA))$(UNLABELED),$(if $(WIDTH)$(filter train.width=% train.channels=%,$(SET)),,models/fonts62))
TRAIN_SETTINGS = --preset "$(PRESET)" $(if $(WIDTH),--width "$(WIDTH)") $(call settings,$(filter-out data.%,$(SET)))
TRAIN_OPTIONS = $(TRAIN_SETTINGS) --output "$(OUT)" $(if $(START),--start "$(START)")
# A DPU kernel gives int8 logits, and the vendor's quantizer knows its own rule alone.
ROUTE ?= ours
BOARDS := $(sort $(basename $(notdir $(wildcard edge_runtime/boards/*.toml))))
$(if $(filter $(BOARD),$(BOARDS)),,$(error no board '$(BOARD)'; there are: $(BOARDS)))
$(if $(filter $(ROUTE),ours vendor),,$(error ROUTE is ours or vendor, not '$(ROUTE)'))
VENDOR_STEP = scripts/vendor.sh $(1) $(if $(filter host,$(BOARD)),zedboard,$(BOARD))
COMPILER = $(if $(filter-out host,$(BOARD)),$(shell PYTHON=$(PY) $(call VENDOR_STEP,compile) --check 2>/dev/null))
FOR_DPU = $(or $(VENDOR),$(REQUIRE_DPU),$(DPU_KERNEL),$(filter vendor,$(ROUTE)),$(COMPILER))
VENDOR_METHOD = $(if $(filter vendor,$(ROUTE)),min-mse)
QUANTIZE_OPTIONS = --preset "$(PRESET)" $(addprefix --method ,$(or $(METHOD),$(VENDOR_METHOD))) \
	$(addprefix --head ,$(or $(HEAD),$(if $(FOR_DPU),dpu)))
COMPILE_OPTIONS = --board $(BOARD) --name $(NAME) $(if $(DPU_KERNEL),--dpu-kernel "$(DPU_KERNEL)") \
	$(if $(REQUIRE_DPU),--require-dpu) $(if $(filter vendor,$(ROUTE)),--from "$(OUT)/vendor") \
	$(if $(COMPILER_OPTIONS),-- $(COMPILER_OPTIONS))
EVALUATED = --rungs $(or $(RUNGS),all) --ladder --jobs $(or $(JOBS),1) $(if $(NO_COST),,--cost)

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: all help data audit train freeze quantize compile evaluate quantize-aware curve adapt adapted ablation tune boards runtime bench convert count \
	deploy rollback host-given fuzz classify demo video draw ship scene62 fonts62 \
	core-model core-lint simulate synth prove route test ladder robustness report check clean FORCE

all: $(OUT)/first-look.png $(OUT)/report/index.html
	@cat $(OUT)/evaluation.txt
	@echo
	@echo "The classifier is $(BUNDLE)."
	@echo "The report is $(OUT)/report/index.html: open it in a browser. What next:"
	@echo "  make classify IMAGE=$$(cd $(OUT) && realpath --relative-to="$(CURDIR)" -- \
	  "$$(sed -nE 's/^([^,"]*),.*,(test|validation),.*/\1/p' manifest.csv | head -1)")"
	@echo "  make demo                      draw, drop or photograph characters in a browser"
	@echo "  make adapt DATA=your/crops     your own symbols, from a few labels"
	@echo "  make robustness report         the report with corrupted images, too (some minutes)"
	@echo "  make DATA=your/folder PRESET=full      (make help lists everything)"

help:
	@echo "EdgeGlyph: from a few labeled characters to a classifier on a board."
	@echo
	@echo "  make             all stages below, to an evaluated classifier in $(OUT)/"
	@echo "  make data        find or draw characters, split them     $(OUT)/manifest.csv"
	@echo "  make audit       copies, conflicts, wrong labels of DATA $(OUT)/audit/"
	@echo "  make train       learn from labeled and unlabeled images $(OUT)/training/"
	@echo "  make freeze      export the network                      $(OUT)/frozen_model.pb, model.onnx"
	@echo "  make quantize    turn it into integers                   $(OUT)/quantization.json, model_int8.onnx"
	@echo "  make compile     pack what a board needs                 $(BUNDLE)"
	@echo "  make evaluate    accuracy of every stage's network       $(OUT)/evaluation.json"
	@echo "  make report      all figures as a page, and as JSON      $(OUT)/report/index.html"
	@echo "  make robustness  accuracy on corrupted images, and the gate  $(OUT)/robustness/"
	@echo "  make quantize-aware          train on through the DPU's rounding         $(OUT)/quantize-aware/"
	@echo "  make curve [MAX_MACS=… MAX_US=…]  smaller networks: accuracy against cost, one within a budget  $(OUT)/curve/"
	@echo "  make adapt DATA=folder       the shipped model for your symbols and crops  build/adapt/"
	@echo "  make ablation DATA=folder    what each method and ingredient is worth (hours; goes on)   $(OUT)/ablation/"
	@echo "  make tune        search for better settings, judged on validation     $(OUT)/tune/best.toml"
	@echo "  make boards      what can be built for which board on this machine"
	@echo "  make runtime     build the C++ program and library       $(RUNTIME)/"
	@echo "  make deploy HOST=root@board  bring program and classifier to BOARD by ssh, checked there (docs/boards.md)"
	@echo "  make rollback HOST=…         go back to the version before, or to VERSION=…"
	@echo "  make draw PER_CLASS=100      draw a set of characters            $(OUT)/synth/"
	@echo "  make classify IMAGE=file     say what character an image or each image of a folder shows"
	@echo "  make demo        draw, drop or photograph characters in a browser; PORT=$(PORT)"
	@echo "  make video INPUT=… OUTPUT=… [ROI=…]  read a meter, a plate, a display in a video or camera (docs/video.md)"
	@echo "  make ship        put this classifier into models/$(NAME)/"
	@echo "  make scene62 CHARS74K=… ICDAR=…, make fonts62    the models of models/, anew (an hour, 20 minutes)"
	@echo "  make test, make check        the tests, then the exactness ladder; lint and types"
	@echo "  make ladder      every form of the shipped network, logit by logit"
	@echo "  make fuzz SECONDS=60         fuzz the C++ readers (needs clang)"
	@echo "  make bench [IMAGES=…]        race against other engines                  $(OUT)/bench/"
	@echo "  make convert FORMAT=… [MODEL=…]  for other programs, verified     $(OUT)/convert/"
	@echo "                   FORMAT: $(FORMATS), all"
	@echo "  make count [UPDATE=1]        instructions of an image on emulated Arm boards (needs qemu-user)"
	@echo "  make simulate    images through the open core in simulation: every logit compared"
	@echo "  make synth       does CORE fit an xc7z020 (Yosys)?        $(OUT)/core/"
	@echo "  make prove, make route       formal proofs of the core; its place and route on an ECP5"
	@echo "  make clean       remove $(OUT)/"
	@echo
	@echo "Variables, and what they are now:"
	@printf '  %-22s %s\n' \
	  "DATA=$(DATA)" "'synthetic', or labeled images: folders, .csv, list, archive, URL (docs/data.md)" \
	  "UNLABELED=$(UNLABELED)" "folders or archives of crops without labels" \
	  "PHOTOGRAPHS=$(PHOTOGRAPHS)" "photographs with word boxes (ICDAR 2003), to cut background from" \
	  "CACHE=$(CACHE)" "where archives are unpacked; empty is ~/.cache/edgeglyph" \
	  "PRESET=$(PRESET)" "tiny (seconds), quick (minutes), full (an hour), or a .toml file" \
	  "PROTOCOL=$(PROTOCOL)" "splits: random, budget, chars74k-15, chars74k-5, kaggle, cross-source, all (docs/data.md)" \
	  "LABELS=$(LABELS)" "labels used per class (all); the other images are used without theirs" \
	  "SET=$(SET)" "further settings, for example: SET='data.seed=2 train.epochs=5'" \
	  "ALPHABET=$(ALPHABET)" "the classes in order; empty is 0-9A-Za-z (make adapt: those labeled)" \
	  "FROM=$(FROM)" "the model that make adapt starts from" \
	  "START=$(START)" "a model whose weights training begins with; for given images models/fonts62, START= is random ones" \
	  "NO_BASELINE=$(NO_BASELINE)" "1 spares make adapt and make curve the training from nothing that they compare with" \
	  "WIDTH=$(WIDTH)" "factor on the channels of every convolution, 0.25 to 4; empty: the preset's, 1" \
	  "KEEP=$(KEEP)" "sizes for make curve, shares of the multiply-adds; empty: 0.75,0.5,0.35,0.25,0.12" \
	  "MAX_MACS= MAX_US=" "make curve: at most so many multiply-adds, microseconds of this machine an image" \
	  "SKIP_UNREADABLE=$(SKIP_UNREADABLE)" "1 leaves unreadable images out instead of stopping" \
	  "ALLOW_LEAKAGE=$(ALLOW_LEAKAGE)" "1 trains although a picture is in training and held out" \
	  "DEVICES=$(DEVICES)" "GPUs that make train uses together (1); TENSORFLOW=gpu" \
	  "METHOD=$(METHOD)" "best (default), min-mse or non-overflow" \
	  "HEAD=$(HEAD)" "last layer: auto (default), dpu (int8 logits) or cpu (int32 logits)" \
	  "BOARD=$(BOARD)" "$(BOARDS)" \
	  "CXX=$(CXX_GIVEN)" "compiler for make runtime; empty: g++ for the host, zig for boards" \
	  "VENDOR=$(VENDOR)" "1 also runs the vendor's quantizer where it is installed (docs/vendor-tools.md)" \
	  "ROUTE=$(ROUTE)" "whose quantizer the DPU kernel comes from: ours or vendor" \
	  "REQUIRE_DPU=$(REQUIRE_DPU)" "1 fails make compile where no DPU kernel can be made" \
	  "DPU_KERNEL=$(DPU_KERNEL)" "a kernel (.elf, .xmodel) made elsewhere, to put into the bundle" \
	  "QUANTIZER_OPTIONS=$(QUANTIZER_OPTIONS)" "further options of decent_q.sh or vai_q.sh" \
	  "COMPILER_OPTIONS=$(COMPILER_OPTIONS)" "and of dnnc.sh or vai_c.sh, for example '--dcf my.dcf'" \
	  "HOST=$(HOST)" "where the board is: user@name, user@name:port, or a name of ~/.ssh/config" \
	  "IMAGES=$(IMAGES)" "sample images for make deploy, labeled ones for make bench and make convert; empty: those of make data" \
	  "MODEL=$(MODEL)" "bundle, or folder of one, for make convert; empty: yours, or the shipped one" \
	  "ROUNDS=$(ROUNDS)" "of make bench; empty: 60" \
	  "SAMPLES=$(SAMPLES)" "at most so many of them" \
	  "FOLDER=$(FOLDER)" "on the board; empty: the board file's" \
	  "BACKEND=$(BACKEND)" "of edge_classify on the board: auto, cpu, n2cube or vart" \
	  "SYSTEMD=$(SYSTEMD)" "1 also installs a self-test at start and a folder that is watched" \
	  "SSH_OPTIONS=$(SSH_OPTIONS)" "further options of ssh, for example '-i key -J gateway'" \
	  "ONLY=$(ONLY)" "cells of make ablation, for example 'method=sgan,labels=5 seed=1': this, and that" \
	  "PLAN=$(PLAN)" "its plan, a .toml file; empty: semi_supervised/ablation/ablation.toml" \
	  "RENEW=$(RENEW)" "1 trains its cells anew that other code than this trained" \
	  "TRIALS=$(TRIALS)" "finished trials of make tune, all machines' together (40)" \
	  "STORAGE=$(STORAGE)" "a database that several machines share, postgresql+psycopg://…; empty: a file" \
	  "STUDY=$(STUDY) SPACE=$(SPACE)" "the study's name; what it searches, a .toml file (docs/training.md)" \
	  "CORE=$(CORE)" "the open core for make simulate and synth: core128, core64, core32" \
	  "RUNGS=$(RUNGS)" "networks for make evaluate and make ladder (all); '?' lists them" \
	  "JOBS=$(JOBS)" "processes for make evaluate and make robustness (1); 0: one per core; cells at a time" \
	  "NO_COST=$(NO_COST)" "1 spares make evaluate the measuring of times and memory" \
	  "COUNT=$(COUNT)" "images for make robustness (500; 0 takes all) and make simulate (1000)" \
	  "JSON= CSV= WATCH=" "1 for make classify: JSON lines, a table, images as they appear in a folder" \
	  "ROI=$(ROI)" "fields for make video: 'meter=40,60,320,80:cells=6; …', or a .toml file; empty: the whole picture" \
	  "FRAME=$(FRAME)" "make video: only draw this frame's fields, with rulers, to OUTPUT=….png" \
	  "READINGS=$(READINGS)" "make video: also write readings, .csv or .jsonl" \
	  "ENGINE= AGAINST=" "make video: back end, and a second one beside it" \
	  "LENGTH=$(LENGTH)" "make video: seconds to read of it; empty: all (of a camera: until Ctrl-C)" \
	  "ANNOTATE=$(ANNOTATE)" "for make classify: a picture of the images with their answers" \
	  "OUT=$(OUT)" "where results go" \
	  "NAME=$(NAME)" "what the bundle is called" \
	  "TENSORFLOW=$(TENSORFLOW)" "train (tensorflow-cpu) or gpu (the full package)"

# --- The environment -------------------------------------------------------------------------

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "EdgeGlyph needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python lacks venv; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@echo "setting up $(VENV) (about 2 GB, a minute or two) …"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[$(TENSORFLOW),fonts,quantize,report,dev]'
	@touch $@

# --- The first minute ----------------------------------------------------------------------------
# On a fresh clone: what the shipped model makes of our sample crops, before anything is trained.

$(OUT)/first-look.png: | $(INSTALLED)
	@$(PY) scripts/first_look.py --bundle $(SHIPPED) --output $@
	@echo

# --- The stages --------------------------------------------------------------------------------
# A stamp holds all that a stage's result depends on, and changes only when that does.

data: $(OUT)/manifest.csv
train: $(OUT)/training/result.json
freeze: $(OUT)/freeze.json
quantize: $(OUT)/quantization.json
compile: $(BUNDLE)
evaluate: $(OUT)/evaluation.json
	@cat $(OUT)/evaluation.txt

define stamp
	@mkdir -p $(@D) && printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || \
	  printf '%s\n' '$(subst ','\'',$(1))' > $@
endef

$(STAMPS)/data: FORCE | $(INSTALLED)
	@$(PY) -m semi_supervised stamp data $(DATA_OPTIONS) --file $@
$(STAMPS)/train: FORCE | $(INSTALLED)
	@$(PY) -m semi_supervised stamp train $(TRAIN_OPTIONS) --file $@
$(STAMPS)/quantize: FORCE | $(INSTALLED)
	$(call stamp,$(QUANTIZE_OPTIONS) $(VENDOR) $(ROUTE) $(QUANTIZER_OPTIONS))
$(STAMPS)/compile-$(NAME)-$(BOARD): FORCE
	$(call stamp,$(COMPILE_OPTIONS) $(COMPILER))

$(OUT)/manifest.csv: $(STAMPS)/data
	@echo "== data: characters and their splits"
	@$(PY) -m semi_supervised data $(DATA_OPTIONS)

$(OUT)/training/result.json: $(OUT)/manifest.csv $(STAMPS)/train
	@echo "== train: semi-supervised, preset $(PRESET)"
	@$(PY) -m semi_supervised train --manifest $(OUT)/manifest.csv $(TRAIN_OPTIONS) \
	  $(if $(ALLOW_LEAKAGE),--allow-leakage) $(if $(DEVICES),--devices $(DEVICES))

$(OUT)/freeze.json: $(OUT)/training/result.json
	@echo "== freeze: frozen graph, SavedModel, ONNX"
	@$(PY) -m semi_supervised freeze --weights $(OUT)/training/best.npz \
	  --manifest $(OUT)/manifest.csv --output $(OUT)

$(OUT)/quantization.json: $(OUT)/freeze.json $(STAMPS)/quantize $(wildcard quantize/presets/*.toml)
	@echo "== quantize: int8 fix points"
	@$(PY) -m quantize run $(OUT)/frozen_model.pb --calibration $(OUT)/manifest.csv \
	  --output $(OUT) $(QUANTIZE_OPTIONS)
	@$(if $(VENDOR)$(filter vendor,$(ROUTE)),$(RUN_VENDOR_QUANTIZER))

# Beside our own, for `quantize verify` to compare; ROUTE=vendor compiles its graphs, and so needs it.
RUN_VENDOR_QUANTIZER = PYTHON=$(PY) $(call VENDOR_STEP,quantize) \
	  --frozen-graph "$(OUT)/frozen_model.pb" --calibration "$(OUT)/calibration.npz" \
	  --output "$(OUT)/vendor" $(QUANTIZER_OPTIONS) || { test $$? = 3 -a "$(ROUTE)" = ours && \
	  echo "going on with our own quantizer"; }

$(BUNDLE): $(OUT)/quantization.json $(STAMPS)/compile-$(NAME)-$(BOARD) $(wildcard $(DPU_KERNEL))
	@echo "== compile: $@"
	@PYTHON=$(PY) scripts/compile_bundle.sh --quantized "$(OUT)" --output "$@" $(COMPILE_OPTIONS)

# Test images, or validation images where there are none.
HELD_OUT = $$(grep -Eq ',test,[^,]*,[0-9a-f]*$$' $(OUT)/manifest.csv && echo test || echo validation)
$(OUT)/evaluation.json: $(BUNDLE)
	@echo "== evaluate: every network on the test images (validation images where there are none)"
	@$(PY) -m edge_runtime evaluate --bundle $< --images $(OUT)/manifest.csv \
	  --split $(HELD_OUT) \
	  $$(test -f $(OUT)/negatives.csv && echo --negatives $(OUT)/negatives.csv) \
	  $(EVALUATED) --json $@.new > $(OUT)/evaluation.txt
	@mv $@.new $@

robustness: $(BUNDLE)
	@echo "== robustness: 15 corruptions, 5 severities"
	@$(PY) -m edge_runtime robustness --bundle $< --images $(OUT)/manifest.csv --split $(HELD_OUT) \
	  $$(test -f $(OUT)/negatives.csv && echo --negatives $(OUT)/negatives.csv) \
	  --count $(or $(COUNT),500) --jobs $(or $(JOBS),1) --output $(OUT)/robustness

# What was measured, as a page; `make robustness` and `make bench` before it add theirs.
REPORT = $(PY) -m edge_runtime report --bundle $(BUNDLE) --evaluation $< --output $(OUT)/report
report: $(OUT)/evaluation.json
	@$(REPORT)
$(OUT)/report/index.html: $(OUT)/evaluation.json
	@$(REPORT)

# --- Quantization-aware training -----------------------------------------------------------------
# Where the integers lose too much: the trained network goes on learning with every tensor rounded
# as the DPU rounds it. Fix points come from the vendor's rule, since method best changes weights.

AWARE := $(OUT)/quantize-aware
AWARE_PRESET := semi_supervised/presets/quantize-aware.toml
MIN_MSE = --method min-mse --preset "$(PRESET)" --calibration $(OUT)/manifest.csv $(addprefix --head ,$(HEAD))
quantize-aware: $(BUNDLE)
	@echo "== quantize-aware: the network learns its own rounding, in $(AWARE)/"
	@$(PY) -m quantize run $(OUT)/frozen_model.pb --output $(AWARE)/before $(MIN_MSE)
	@$(PY) -m semi_supervised train --manifest $(OUT)/manifest.csv --output $(AWARE) \
	  --preset $(AWARE_PRESET) $(call settings,$(filter train.%,$(SET))) \
	  --start $(OUT)/training --quantize-aware $(AWARE)/before/quantization.json
	@$(PY) -m semi_supervised freeze --weights $(AWARE)/training/best.npz \
	  --manifest $(OUT)/manifest.csv --output $(AWARE)
	@$(PY) -m quantize run $(AWARE)/frozen_model.pb --output $(AWARE) $(MIN_MSE)
	@$(PY) -m quantize compile --quantized $(AWARE) --output $(AWARE)/$(NAME).egb --name $(NAME)
	@$(PY) -m edge_runtime evaluate --bundle $(AWARE)/$(NAME).egb --against $(BUNDLE) --backend int8 \
	  --images $(OUT)/manifest.csv --split $(HELD_OUT)

# --- Smaller networks ------------------------------------------------------------------------------
# Pruned and trained on with the preset smaller, each size in a folder of its own. Times are measured
# where the native program can be built.

curve: $(OUT)/training/result.json
	@! command -v "$(CXX)" >/dev/null || $(PY) scripts/build_runtime.py host $(if $(CXX_GIVEN),--cxx "$(CXX_GIVEN)") >&2
	@$(PY) scripts/measure_curve.py --build "$(OUT)" --name "$(NAME)" $(if $(KEEP),--keep "$(KEEP)") \
	  $(if $(NO_BASELINE),--compare 0) $(call settings,$(filter train.%,$(SET))) \
	  $(if $(MAX_MACS),--max-macs "$(MAX_MACS)") $(if $(MAX_US),--max-us "$(MAX_US)")

# --- Another alphabet, other crops ---------------------------------------------------------------
# The stages above with the preset adapt, begun with a trained model, in a folder of their own.

NOTHING := $(OUT)/from-nothing
# At the preset quick's rate: from random weights, few steps want to be large ones.
NOTHING_SETTINGS = $(TRAIN_SETTINGS) --set train.learning_rate=3e-3
adapt:
	@test "$(DATA)" != synthetic || test -n "$(ALPHABET)" || { echo "name your labeled crops:" \
	  "make adapt DATA=folder; or the symbols, if no crop is labeled: ALPHABET=…" >&2; exit 2; }
	@$(MAKE) --no-print-directory adapted ADAPTING=1 START="$(FROM)" \
	  OUT="$(if $(filter file,$(origin OUT)),build/adapt,$(OUT))" \
	  NAME="$(if $(filter file,$(origin NAME)),adapted,$(NAME))" \
	  PRESET="$(if $(filter file,$(origin PRESET)),adapt,$(PRESET))"

adapted: $(STAMPS)/train $(OUT)/adapt.json
	@cat $(OUT)/adapt.txt
	@echo
	@echo "The classifier is $(BUNDLE); adapt.html beside it shows the crops. Try it:"
	@echo "  edgeglyph classify --bundle $(BUNDLE) IMAGE…"

$(STAMPS)/from-nothing: FORCE | $(INSTALLED)
	@$(PY) -m semi_supervised stamp train $(NOTHING_SETTINGS) --file $@

$(NOTHING)/training/result.json: $(OUT)/manifest.csv $(STAMPS)/from-nothing
	@echo "== train: the same from nothing, to compare with (NO_BASELINE=1 spares it)"
	@$(PY) -m semi_supervised train --manifest $(OUT)/manifest.csv $(NOTHING_SETTINGS) \
	  --output $(NOTHING) $(if $(ALLOW_LEAKAGE),--allow-leakage)

$(OUT)/adapt.json: $(BUNDLE) $(if $(NO_BASELINE),,$(NOTHING)/training/result.json)
	@echo "== adapt: what was gained"
	@$(PY) -m quantize verify $(OUT) --bundle $(BUNDLE)
	@$(PY) -m semi_supervised adapt --output $(OUT) --bundle $(BUNDLE) --start "$(START)" \
	  $(if $(NO_BASELINE),,--from-nothing $(NOTHING)/training) > $(OUT)/adapt.txt

# --- The on-board program ------------------------------------------------------------------------

# What is up to date is not compiled again; the script knows sources, headers and flags.
runtime: | $(INSTALLED)
	@$(PY) scripts/build_runtime.py $(BOARD) $(if $(CXX_GIVEN),--cxx "$(CXX_GIVEN)") \
	  $(if $(VART),--vart "$(VART)")

boards: | $(INSTALLED)
	@$(PY) scripts/list_boards.py

# A classifier of one's own is packed for the board by `make compile`; without any, the shipped one goes.
SAMPLES ?= 500
BACKEND ?= auto
ON_BOARD = --board "$(BOARD)" --host="$(HOST)" --ssh-options="$(SSH_OPTIONS)" \
	$(if $(FOLDER),--folder="$(FOLDER)")
DEPLOYED = $(if $(wildcard $(BUNDLE) $(OUT)/quantization.json),$(BUNDLE),$(SHIPPED))
host-given:
	@test -n "$(HOST)" || { echo "name the board: make $(MAKECMDGOALS) BOARD=$(BOARD) HOST=root@address" >&2; exit 2; }
deploy: host-given runtime $(if $(IMAGES)$(wildcard $(OUT)/manifest.csv),,$(OUT)/manifest.csv)
	@echo "== deploy: $(DEPLOYED) to $(HOST)"
	@$(PY) scripts/deploy.py deploy $(ON_BOARD) --bundle "$(DEPLOYED)" \
	  --images "$(or $(IMAGES),$(OUT)/manifest.csv)" --samples "$(SAMPLES)" \
	  --backend "$(BACKEND)" --output "$(OUT)/deploy/$(BOARD)" $(if $(SYSTEMD),--systemd)

rollback: host-given | $(INSTALLED)
	@$(PY) scripts/deploy.py rollback $(ON_BOARD) $(if $(VERSION),--version "$(VERSION)")

# This machine's program against other engines, as far as they are installed: pip install '.[bench]'.
bench: | $(INSTALLED)
	@$(PY) scripts/build_runtime.py host $(if $(CXX_GIVEN),--cxx "$(CXX_GIVEN)")
	@$(if $(IMAGES)$(wildcard $(OUT)/manifest.csv),:,$(MAKE) --no-print-directory $(OUT)/manifest.csv)
	@$(PY) -m edge_runtime bench --bundle "$(DEPLOYED)" --output "$(OUT)/bench" \
	  --images "$(or $(IMAGES),$(OUT)/manifest.csv)" $(if $(ROUNDS),--rounds "$(ROUNDS)")

# For users without a board: the network in other programs' formats, each verified at once (docs/convert.md).
FORMATS := tflite-fp32 tflite-fp16 tflite-dynamic tflite-int8 openvino openvino-int8 onnx onnx-int8 onnx-qdq c
MODEL ?=
CONVERTED = $(or $(MODEL),$(DEPLOYED))
convert: | $(INSTALLED)
	@test -n "$(FORMAT)" || { echo "name a format: make convert FORMAT=all, or of $(FORMATS)" >&2; exit 2; }
	@$(if $(IMAGES)$(wildcard $(OUT)/manifest.csv),:,$(MAKE) --no-print-directory $(OUT)/manifest.csv)
	@$(PY) -m edge_runtime convert $(foreach one,$(FORMAT),--format "$(one)") --bundle "$(CONVERTED)" \
	  --images "$(or $(IMAGES),$(OUT)/manifest.csv)" --output "$(OUT)/convert" \
	  $(if $(CALIBRATION),--calibration "$(CALIBRATION)") $(if $(COUNT),--count "$(COUNT)")

# Instructions of an image on emulated Arm boards, compared with what is recorded.
count: | $(INSTALLED)
	@$(PY) scripts/count_instructions.py $(if $(UPDATE),--update)

fuzz: | $(INSTALLED)
	@$(PY) scripts/fuzz_runtime.py --seconds $(SECONDS)

# --- Use, keep, test -----------------------------------------------------------------------------

# The bundle just built if there is one, else the one that ships with the project.
USED = $(if $(wildcard $(BUNDLE)),$(BUNDLE),$(SHIPPED))
classify: | $(INSTALLED)
	@test -n "$(IMAGE)" || { echo "name an image: make classify IMAGE=crop.png" >&2; exit 2; }
	@$(PY) -m edge_runtime classify --bundle $(USED) $(if $(JSON),--json) $(if $(CSV),--csv) \
	  $(if $(ANNOTATE),--annotate "$(ANNOTATE)") $(if $(WATCH),--watch) $(IMAGE)

PORT ?= 8062
demo: | $(INSTALLED)
	@$(PY) -m edge_runtime demo --bundle $(USED) --port $(PORT)

# A camera or video of fixed fields. The native engine is built where there is a compiler.
VIDEO = $(if $(FRAME),$(OUT)/video-frame.png,$(OUT)/video.mp4)
video: | $(VENV)/installed-video
	@test -n "$(INPUT)" || { echo "name a video or a camera: make video INPUT=meter.mp4 (or INPUT=camera)" >&2; exit 2; }
	@! command -v "$(CXX)" >/dev/null || $(PY) scripts/build_runtime.py host $(if $(CXX_GIVEN),--cxx "$(CXX_GIVEN)") >&2
	@$(PY) -m edge_runtime video "$(INPUT)" --output "$(or $(OUTPUT),$(VIDEO))" --bundle $(USED) \
	  $(if $(ROI),--roi "$(ROI)") $(if $(ENGINE),--backend "$(ENGINE)") $(if $(AGAINST),--against "$(AGAINST)") \
	  $(if $(READINGS),--readings "$(READINGS)") $(if $(FRAME),--frame "$(FRAME)") $(if $(LENGTH),--seconds "$(LENGTH)")
$(VENV)/installed-video: $(INSTALLED)
	@$(PY) -c 'import cv2' 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check --editable '.[video]'
	@touch $@

ship: $(OUT)/evaluation.json
	@$(PY) scripts/ship_model.py --build $(OUT) --bundle $(BUNDLE) --output models/$(NAME) \
	  --command "$(or $(COMMAND),make ship DATA=… PRESET=$(PRESET) NAME=$(NAME))" \
	  $(if $(filter models/$(NAME)/$(NAME).egb,$(SHIPPED)),--readme README.md)

# The two models that ship with the project, made anew: an hour of training and 20 minutes on two cores.
CHARS74K ?= ../shared/data/chars74k
ICDAR    ?= ../shared/data/icdar2003/SceneTrialTrain
scene62:
	@$(MAKE) --no-print-directory ship NAME=scene62 OUT=build/scene62 PRESET=full PROTOCOL=all START= HEAD=cpu \
	  DATA="$(CHARS74K),$(ICDAR)" PHOTOGRAPHS="$(ICDAR)" COMMAND="make scene62 CHARS74K=… ICDAR=…"
# Fonts have taught what they can by 12,000 steps: 80 epochs are for real images.
fonts62:
	@$(MAKE) --no-print-directory ship NAME=fonts62 OUT=build/fonts62 PRESET=full DATA=synthetic SET=train.epochs=24 HEAD=cpu \
	  COMMAND="make fonts62"

# Many trainings on real scene crops: those named by DATA, or else Chars74K's and ICDAR 2003's.
ABLATED = $(if $(filter-out synthetic,$(DATA)),$(DATA),$(CHARS74K)/English/Img,$(ICDAR))
ABLATED_BESIDE = $(or $(PHOTOGRAPHS),$(if $(filter synthetic,$(DATA)),$(ICDAR)))
ablation: | $(INSTALLED)
	@test "$(DATA)" != synthetic || test -e "$(CHARS74K)/English/Img" -a -e "$(ICDAR)" || { echo "make ablation" \
	  "needs labeled real crops: DATA=folder, or CHARS74K=folder ICDAR=folder (docs/ablation.md)" >&2; exit 2; }
	@$(PY) -m semi_supervised ablation --source "$(ABLATED)" --output "$(OUT)/ablation" \
	  $(if $(ABLATED_BESIDE),--photographs "$(ABLATED_BESIDE)") $(if $(CACHE),--cache "$(CACHE)") \
	  $(if $(ALPHABET),--alphabet "$(ALPHABET)") $(if $(PLAN),--plan "$(PLAN)") $(if $(JOBS),--jobs $(JOBS)) \
	  $(foreach one,$(ONLY),--only "$(one)") $(if $(RENEW),--renew) $(if $(LIST),--list) \
	  $(if $(REPORT_ONLY),--report-only) $(if $(DOCS),--document docs/ablation.md --document docs/training.md --document README.md)

# Around PRESET and SET, on the training and validation images of `make data`.
tune: $(OUT)/manifest.csv
	@$(PY) -m semi_supervised tune --manifest $(OUT)/manifest.csv $(TRAIN_SETTINGS) --output "$(OUT)" \
	  $(if $(TRIALS),--trials $(TRIALS)) $(if $(STUDY),--study "$(STUDY)") $(if $(SPACE),--space "$(SPACE)") \
	  $(if $(STORAGE),--storage "$(STORAGE)") $(if $(REPORT_ONLY),--report-only)

# Of the data given, or else of the manifest that the last `make data` wrote.
AUDITED = $(if $(filter-out synthetic,$(DATA)),$(DATA),$(OUT)/manifest.csv)
audit: | $(INSTALLED)
	@$(PY) -m semi_supervised audit "$(AUDITED)" --output "$(OUT)/audit" \
	  $(if $(NO_LABEL_CHECK),--no-label-check) \
	  $(if $(ALPHABET),--alphabet "$(ALPHABET)") $(if $(CACHE),--cache "$(CACHE)") \
	  $(if $(CALIBRATION),--calibration "$(CALIBRATION)")

# --- The open core (docs/core.md) ------------------------------------------------------------------

# Warnings are errors; what is waived, and why, is in eg.vlt.
RTL := edge_runtime/rtl
core-lint:
	@command -v verilator iverilog >/dev/null || \
	  { echo "the core's checks need: apt-get install verilator iverilog yosys z3" >&2; exit 2; }
	@for lanes in 32 64 128; do for pair in 1 2; do \
	  verilator --lint-only -Wall $(RTL)/eg.vlt $(RTL)/eg_core.v -y $(RTL) -GLANES=$$lanes -GPAIR=$$pair \
	    || exit 1; done; done
	@iverilog -g2005 -Wall -t null -o /dev/null $(RTL)/eg_*.v

core-model: | $(INSTALLED)
	@$(PY) scripts/build_core_model.py $(CORE)

SIMULATED = $(if $(wildcard $(BUNDLE)),$(BUNDLE),$(SHIPPED))
# Photographed characters where there are any, else the run's own.
SIMULATED_IMAGES = $(or $(IMAGES),$(wildcard $(ICDAR)),$(OUT)/manifest.csv)
simulate: $(filter $(OUT)/manifest.csv,$(SIMULATED_IMAGES)) | $(INSTALLED)
	@$(PY) scripts/simulate_core.py --bundle "$(SIMULATED)" --target $(CORE) \
	  --images "$(SIMULATED_IMAGES)" --count $(or $(COUNT),1000)

synth: | $(INSTALLED)
	@$(PY) scripts/synthesize_core.py $(CORE) --output "$(OUT)/core"

route: | $(INSTALLED)
	@$(PY) scripts/synthesize_core.py --route --output "$(OUT)/core"

prove: | $(INSTALLED)
	@$(PY) scripts/prove_core.py

PER_CLASS ?= 100
draw: | $(INSTALLED)
	@$(PY) -m semi_supervised synth --output "$(OUT)/synth" --per-class $(PER_CLASS) \
	  $(if $(ALPHABET),--alphabet "$(ALPHABET)")

# The tests, then every form of the shipped network on drawn and hostile pictures: a tick a rung.
test: | $(INSTALLED)
	@$(PY) -m pytest
	@$(MAKE) --no-print-directory ladder

ladder: | $(INSTALLED)
	@$(PY) scripts/ladder_images.py $(OUT)/ladder
	@$(PY) -m edge_runtime evaluate --bundle $(SHIPPED) --images $(OUT)/ladder \
	  --rungs $(or $(RUNGS),all) --ladder only

CPP_FILES = $(wildcard edge_runtime/cpp/*/*.h edge_runtime/cpp/*/*.cpp edge_runtime/rtl/model/* tests/*.c \
	tests/edge_runtime/*.c tests/stand_ins/*.cpp tests/stand_ins/*/*.cpp tests/stand_ins/*/*.hpp scripts/*.c \
	examples/*/*.c examples/*/*.cpp)
check: | $(INSTALLED)
	@if command -v verilator iverilog >/dev/null; then $(MAKE) --no-print-directory core-lint; else \
	  echo "the core's Verilog was not checked: that needs apt-get install verilator iverilog" >&2; fi
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@MYPYPATH=scripts $(VENV)/bin/mypy -p deployment -m deploy -p smaller -m measure_curve
	@$(VENV)/bin/clang-format --dry-run --Werror --style=file:edge_runtime/cpp/.clang-format $(CPP_FILES)
	@$(VENV)/bin/shellcheck -x scripts/*.sh scripts/*/*.sh .ci/run

clean:
	@rm -rf "$(OUT)"
