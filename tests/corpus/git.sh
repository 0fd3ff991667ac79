# Git with commits and branches; then clones, a server, packs and history rewritten.
begin() {
    rm -rf /tmp/git
    mkdir /tmp/git
    cd /tmp/git
    git config --global user.name reader
    git config --global user.email reader@example.org
    git config --global init.defaultBranch main
    git config --global advice.detachedHead false
    git init -q work
    cd work
}

commit() {
    echo "$1" >>"$2"
    git add "$2"
    git commit -q -m "$1"
}

first() {
    for i in $(seq 8); do commit "line $i" file; done
    git branch side
    git checkout -q side
    commit other another
    git checkout -q main
    commit more file
    git merge -q -m merged side
    says merged git log --oneline
    git status --short
    says '^+more' git diff HEAD~2
    says 'line 8' git blame file
    git show --stat
    git grep -c line
    git stash list
    git tag -a -m one v1
    git reset -q --hard HEAD~1
    says 'moving to HEAD~1' git reflog
}

second() {
    for i in 1 2 3; do commit "line $i" file; done
    git clone -q . ../clone
    git clone -q --depth 1 "file://$PWD" ../shallow
    git daemon --reuseaddr --listen=127.0.0.1 --base-path=/tmp/git --export-all --detach --pid-file=/tmp/git/pid
    until git clone -q git://127.0.0.1/work ../remote; do sleep 0.2; done
    kill "$(cat /tmp/git/pid)"
    (cd ../clone && commit pushed new && git push -q origin HEAD:pushed)
    git gc -q
    git fsck
    git repack -q -a -d
    git archive HEAD >../archive.tar
    tar -tf ../archive.tar
    git -c sequence.editor='sed -i 2s/pick/squash/' -c core.editor=true rebase -q -i --root
    echo changed >>file
    git stash -q
    git stash pop -q
    git worktree add -q ../tree -b tree
    printf '#!/bin/sh\necho hook\n' >.git/hooks/pre-commit
    chmod 755 .git/hooks/pre-commit
    git commit -q -a -m hooked
    git bisect start HEAD HEAD~1
    git bisect reset
    git bundle create ../bundle --all
}
